//! Where a key lies in a cluster: in one of 16,384 slots, each of which one server has.

/// Parts of so many slots in a row are away or there together. Servers have long rows of them, so that one that is gone is known after a
/// few questions, and few others are taken for gone with it.
const SLOTS: u16 = 256;

/// In which part of a cluster a key lies.
pub(crate) fn part_of(key: &str) -> u16 {
    slot_of(key) / SLOTS
}

/// By the [specification](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/): CRC-16 of what is between the
/// first `{` and the next `}`, if that is anything; else of all of it.
fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % 16_384
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    let bit = |crc: u16| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
    bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| bit(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lies_where_redis_says() {
        // The check value of the CRC, and what `CLUSTER KEYSLOT` says.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!([slot_of("foo"), slot_of("{foo}bar"), slot_of("bar{foo}{zap}")], [12_182; 3]);
        assert_eq!(slot_of("foo{}{bar}"), crc16(b"foo{}{bar}") % 16_384);
        assert_eq!(part_of("foo"), 47);
    }
}
