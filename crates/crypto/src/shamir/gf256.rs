//! The field of AES, GF(2)[x] / (x⁸ + x⁴ + x³ + x + 1), without tables or branches on secrets: time and cache tell nothing.

/// Eight rounds of shift and conditional add, the condition spread to a mask.
pub(super) fn mul(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & mask(b & 1);
        a = (a << 1) ^ (0x1B & mask(a >> 7));
        b >>= 1;
    }
    product
}

/// a²⁵⁴, which is 1/a; 0 for 0.
pub(super) fn invert(a: u8) -> u8 {
    // 254 = 0b1111_1110
    let mut power = a;
    let mut product = 1;
    for _ in 0..7 {
        power = mul(power, power);
        product = mul(product, power);
    }
    product
}

/// 0x00 for 0, 0xFF for 1. The barrier keeps the optimiser from making a branch of it again.
fn mask(bit: u8) -> u8 {
    std::hint::black_box(bit).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_fips_197() {
        assert_eq!(mul(0x57, 0x83), 0xC1);
        assert_eq!(mul(0x57, 0x13), 0xFE);
        assert_eq!(invert(0x53), 0xCA);
        assert_eq!(invert(0), 0);
    }

    #[test]
    fn it_is_a_field() {
        for a in 0..=255 {
            assert_eq!((mul(a, 1), mul(a, 0)), (a, 0));
            if a > 0 {
                assert_eq!(mul(a, invert(a)), 1, "{a}");
            }
            for b in 0..=255 {
                assert_eq!(mul(a, b), mul(b, a));
                assert_eq!(mul(a, b ^ 0x35), mul(a, b) ^ mul(a, 0x35));
            }
        }
    }
}
