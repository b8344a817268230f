//! Events as they are given out, each compared with the leaf that the signed head has at its place. A tile of leaves is held at
//! a time, so a log of any length is checked in the same memory.

use std::{collections::BTreeMap, ops::Range};

use anyhow::{Context as _, Result};
use chancery_crypto::{
    checkpoint::Checkpoint,
    merkle::{self, Hash},
    tiles::{TileError, TileId, Tiles, WIDTH},
};
use chancery_domain::{Clock as _, Timestamp, audit::retention::KEPT};
use data_encoding::HEXLOWER;
use reqwest::Method;
use serde_json::Value;

use super::{
    SPAN, SPANS,
    places::Places,
    purges::{Left, Told},
};
use crate::{
    clock::SystemClock,
    commands::{
        audit::{PAGE, between, page},
        client::Api,
    },
};

/// Leaves in a tile.
const TILE: u64 = WIDTH as u64;

/// Who gives tiles.
pub(super) trait TileSource {
    /// A tile's bytes; none if there is no such tile.
    async fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>>;
}

impl TileSource for Api {
    async fn tile(&self, TileId { level, index }: TileId) -> Result<Option<Vec<u8>>> {
        let (status, bytes) = self.exchange(Method::GET, &format!("/v1/audit/tile/{level}/{index}"), None).await?;
        Ok(status.is_success().then_some(bytes))
    }
}

/// Computes something from tiles, asking for those that it misses; none if they do not suffice.
pub(super) async fn with_tiles<T>(
    source: &impl TileSource,
    tiles: &mut Tiles,
    compute: impl Fn(&Tiles) -> Result<T, TileError>,
) -> Result<Option<T>> {
    loop {
        let missing = match compute(tiles) {
            Ok(value) => return Ok(Some(value)),
            Err(TileError::Missing { tile, .. }) if tiles.to_bytes(tile).is_none() => tile,
            Err(_) => return Ok(None),
        };
        match source.tile(missing).await? {
            Some(bytes) if tiles.insert(missing, &bytes).is_ok() => {}
            _ => return Ok(None),
        }
    }
}

/// The leaves under a signed head.
pub(super) struct Leaves {
    /// What is above the leaves, the last tile of leaves, and one more.
    pub(super) tiles: Tiles,
    /// The tile whose leaves were proven last.
    proven: Option<(u64, Vec<Hash>)>,
}

impl Leaves {
    pub(super) const fn new(tiles: Tiles) -> Self {
        Self { tiles, proven: None }
    }

    /// The leaf at a place, if it is under the head. The other leaves of its tile make up its proof, so they are under it as well.
    async fn at(&mut self, source: &impl TileSource, head: &Checkpoint, index: u64) -> Result<Option<Hash>> {
        let number = index / TILE;
        if self.proven.as_ref().is_none_or(|(proven, _)| *proven != number) {
            self.proven = None;
            let edge = head.size / TILE;
            self.tiles.retain(|tile| tile.level > 0 || tile.index == edge);
            let prove = |tiles: &Tiles| -> Result<(Hash, Vec<Hash>), TileError> {
                Ok((tiles.subtree(0, index, head.size)?, tiles.inclusion_proof(index, head.size)?))
            };
            let Some((leaf, proof)) = with_tiles(source, &mut self.tiles, prove).await? else { return Ok(None) };
            if merkle::verify_inclusion(index, head.size, &leaf, &proof, &head.root).is_err() {
                return Ok(None);
            }
            let bytes = self.tiles.to_bytes(TileId { level: 0, index: number }).unwrap_or_default();
            self.proven = Some((number, bytes.as_chunks::<32>().0.to_vec()));
        }
        let within = usize::try_from(index % TILE).unwrap_or(usize::MAX);
        Ok(self.proven.as_ref().and_then(|(_, leaves)| leaves.get(within)).copied())
    }
}

/// Events that were given out and checked.
#[derive(Default)]
pub(super) struct Events {
    pub(super) found: Places,
    /// What is wrong with the first one that does not hold.
    pub(super) wrong: Option<String>,
    /// Of each purge that was told of before: what is left of it.
    pub(super) left: Vec<Left>,
    purged: Vec<Range<u64>>,
    /// The numbers of each node and start of it.
    numbers: BTreeMap<(String, String), Places>,
}

impl Events {
    /// Those from `first` to `end`, from the newest year back until all are there.
    pub(super) async fn read(
        api: &Api,
        leaves: &mut Leaves,
        head: &Checkpoint,
        first: u64,
        end: u64,
        told: &[Told],
    ) -> Result<Self> {
        let purged = told.iter().map(|purge| purge.places.clone()).collect();
        let mut events = Self { purged, left: vec![Left::default(); told.len()], ..Self::default() };
        let wanted = end.saturating_sub(first);
        let mut to: Timestamp = SystemClock.now().plus_seconds(3_600);
        for _ in 0..SPANS {
            if events.found.count() >= wanted {
                break;
            }
            let from = to.plus_seconds(-SPAN);
            let mut cursor = first.checked_sub(1).map(|after| after.to_string());
            loop {
                let (items, next) = page(api, &between(from, to), PAGE, cursor.as_deref()).await?;
                for event in &items {
                    let index = event.get("index").and_then(Value::as_u64).context("an event without an index")?;
                    if (first..end).contains(&index)
                        && let Err(wrong) = events.take(api, leaves, head, index, event).await?
                    {
                        events.wrong = Some(wrong);
                        return Ok(events);
                    }
                }
                let last = items.last().and_then(|event| event.get("index")).and_then(Value::as_u64);
                match next {
                    // What came after the head was signed is for next time.
                    Some(next) if last.is_none_or(|last| last < end) => cursor = Some(next),
                    _ => break,
                }
            }
            to = from;
        }
        Ok(events)
    }

    /// Checks one: its leaf, its place, and that what is said beside the leaf is in it.
    pub(super) async fn take(
        &mut self,
        source: &impl TileSource,
        leaves: &mut Leaves,
        head: &Checkpoint,
        index: u64,
        event: &Value,
    ) -> Result<Result<(), String>> {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let (core, leaf) = (text("core"), merkle::leaf_hash(text("core").as_bytes()));
        if HEXLOWER.encode(&leaf) != text("leaf_hash") {
            return Ok(Err(format!("the event at {index} does not have the leaf hash that it came with")));
        }
        if leaves.at(source, head, index).await? != Some(leaf) {
            return Ok(Err(format!("the event at {index} is not the one that the signed head has there")));
        }
        let core: Value = serde_json::from_str(core).context("a leaf is no JSON")?;
        let said = [("id", "/event_id"), ("type", "/type"), ("recorded_at", "/recorded_at"), ("actor", "/actor/ref")];
        if let Some((name, _)) = said.iter().find(|(name, pointer)| core.pointer(pointer) != event.get(*name)) {
            return Ok(Err(format!("the event at {index} came with another {name} than its leaf has")));
        }
        self.found.add(index);
        for (left, _) in self.left.iter_mut().zip(&self.purged).filter(|(_, places)| places.contains(&index)) {
            let kind = core.pointer("/type").and_then(Value::as_str).unwrap_or_default();
            let kept = KEPT.iter().any(|kept| kept.as_str() == kind);
            *(if kept { &mut left.kept } else { &mut left.others }) += 1;
        }
        let part = |pointer: &str| core.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(number) = core.pointer("/node/ctr").and_then(Value::as_u64) {
            self.numbers.entry((part("/node/id"), part("/node/boot"))).or_default().add(number);
        }
        Ok(Ok(()))
    }

    /// What the completeness counters say.
    pub(super) fn counters(&self) -> String {
        let gaps: u64 = self.numbers.values().map(Places::between).sum();
        let starts = self.numbers.len();
        format!("{gaps} numbers not used between, over {starts} starts of nodes; each belongs to a request that failed")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use chancery_crypto::{merkle::leaf_hash, tiles::TreeBuilder};
    use serde_json::json;

    use super::*;

    /// A log whose server may give a changed tile.
    struct Log {
        tiles: Tiles,
        asked: Cell<u64>,
        spoilt: Option<(TileId, usize)>,
    }

    impl TileSource for Log {
        async fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>> {
            self.asked.set(self.asked.get() + 1);
            Ok(self.tiles.to_bytes(id).map(|mut bytes| {
                if let Some((_, at)) = self.spoilt.filter(|(tile, _)| *tile == id) {
                    bytes[at] ^= 1;
                }
                bytes
            }))
        }
    }

    fn core(index: u64) -> String {
        json!({"event_id": format!("evt_{index}"), "node": {"id": "n", "boot": "b", "ctr": index + 1}}).to_string()
    }

    fn event(index: u64) -> Value {
        let leaf = HEXLOWER.encode(&leaf_hash(core(index).as_bytes()));
        json!({"id": format!("evt_{index}"), "index": index, "core": core(index), "leaf_hash": leaf})
    }

    fn log(size: u64) -> (Log, Checkpoint) {
        let mut tree = TreeBuilder::resume(0, Tiles::default()).unwrap();
        (0..size).for_each(|index| tree.push(leaf_hash(core(index).as_bytes())));
        let grown = tree.finish().unwrap();
        let mut tiles = Tiles::default();
        grown.tiles.iter().for_each(|(tile, bytes)| tiles.insert(*tile, bytes).unwrap());
        let head = Checkpoint { origin: "x/t/1".to_owned(), size, root: grown.root };
        (Log { tiles, asked: Cell::new(0), spoilt: None }, head)
    }

    /// As many as make a difference, and what is held of them does not grow with them.
    #[tokio::test]
    async fn a_long_log_is_checked_a_tile_at_a_time() {
        let (log, head) = log(70_001);
        let (mut leaves, mut events) = (Leaves::new(Tiles::default()), Events::default());
        for index in 0..head.size {
            events.take(&log, &mut leaves, &head, index, &event(index)).await.unwrap().unwrap();
            if index % 5_000 == 0 {
                let mut held = 0;
                leaves.tiles.retain(|tile| {
                    held += u32::from(tile.level == 0);
                    true
                });
                assert!(held <= 2, "{held} tiles of leaves at {index}");
            }
        }
        assert_eq!((events.found.count(), events.found.gaps(0, head.size).len()), (70_001, 0));
        assert!(events.counters().starts_with("0 numbers not used between, over 1 starts"), "{}", events.counters());
        assert!(log.asked.get() < 2 * 274 + 10, "each tile is asked for about once: {}", log.asked.get());
    }

    /// Also one beside the leaf by which its tile was proven.
    #[tokio::test]
    async fn a_changed_leaf_or_tile_is_found() {
        let (mut log, head) = log(1_000);
        let mut leaves = Leaves::new(Tiles::default());
        let mut forged = event(300);
        forged["core"] = Value::from(core(301));
        forged["leaf_hash"] = Value::from(HEXLOWER.encode(&leaf_hash(core(301).as_bytes())));
        for (index, event, good) in
            [(299, event(299), true), (300, forged, false), (300, event(300), true), (999, event(999), true)]
        {
            let taken = Events::default().take(&log, &mut leaves, &head, index, &event).await.unwrap();
            assert_eq!(taken.is_ok(), good, "{index}: {taken:?}");
        }
        for (tile, at) in [((0, 1), 50 * 32), ((0, 3), 0), ((1, 0), 0)] {
            log.spoilt = Some((TileId { level: tile.0, index: tile.1 }, at));
            let mut leaves = Leaves::new(Tiles::default());
            let index = if tile == (0, 3) { 999 } else { 256 };
            let taken = Events::default().take(&log, &mut leaves, &head, index, &event(index)).await.unwrap();
            assert!(taken.unwrap_err().contains("not the one that the signed head has there"), "{tile:?}");
        }
    }
}
