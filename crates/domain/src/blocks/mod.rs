//! Addresses whose requests are not answered: of one, or of a whole network, for everybody's tenants.
//!
//! They are the platform's. Each node holds all of them in memory, so that a blocked address costs nothing but this look.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{PoisonError, RwLock},
};

use async_trait::async_trait;
use ipnet::IpNet;

use crate::{ids::BlockId, store::StoreError, time::Timestamp};

mod answer;
mod manage;

pub use answer::answer_violations;
pub use manage::{BlockError, NewBlock, block, list, load, unblock};

/// How many there are at most: what a node holds in memory.
pub const MOST: usize = 10_000;

/// A network; one address is one too.
pub type Network = IpNet;

/// A network whose requests are not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its id.
    pub id: BlockId,
    /// The network; one address is a network too.
    pub network: IpNet,
    /// Why.
    pub reason: String,
    /// Whether it is Chancery's own answer to abuse, and nobody's decision.
    pub automatic: bool,
    /// Since when.
    pub made_at: Timestamp,
    /// Until when; for good if never.
    pub expires_at: Option<Timestamp>,
}

/// Reads blocks.
#[async_trait]
pub trait BlockRows {
    /// Those that have not expired, by id.
    async fn blocks(&mut self, now: Timestamp, after: Option<BlockId>, limit: u32) -> Result<Vec<Block>, StoreError>;
    /// By id, expired or not.
    async fn find_block(&mut self, id: BlockId) -> Result<Option<Block>, StoreError>;
}

/// Changes blocks.
#[async_trait]
pub trait BlockWrites {
    /// Keeps one. [`StoreError::Taken`] if the network is blocked already.
    async fn insert_block(&mut self, block: &Block) -> Result<(), StoreError>;
    /// Takes away the block of exactly this network, if there is one.
    async fn remove_block_of(&mut self, network: Network) -> Result<(), StoreError>;
    /// Takes one away.
    async fn remove_block(&mut self, id: BlockId) -> Result<(), StoreError>;
    /// Takes away those that have expired.
    async fn forget_blocks(&mut self, now: Timestamp) -> Result<(), StoreError>;
}

/// All blocks, as a request is looked up in them: by the lengths of the prefixes that there are.
#[derive(Default)]
pub struct Blocks(RwLock<ByLength>);

/// The networks of each family and length of prefix, with their ends.
type ByLength = HashMap<(bool, u8), HashMap<IpNet, Option<Timestamp>>>;

impl Blocks {
    /// Whether requests from this address are not answered.
    pub fn holds(&self, address: Option<IpAddr>, now: Timestamp) -> bool {
        let Some(address) = address.map(|address| address.to_canonical()) else { return false };
        let blocks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().filter(|((v6, _), _)| *v6 == address.is_ipv6()).any(|((_, length), networks)| {
            let network = IpNet::new(address, *length).map(|network| network.trunc());
            let found = network.ok().and_then(|network| networks.get(&network));
            found.is_some_and(|until| until.is_none_or(|until| now < until))
        })
    }

    /// Puts these in the place of all others.
    fn replace(&self, all: impl IntoIterator<Item = Block>) {
        let mut blocks = ByLength::new();
        for Block { network, expires_at, .. } in all {
            let of_length = blocks.entry((network.addr().is_ipv6(), network.prefix_len())).or_default();
            of_length.insert(network, expires_at);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = blocks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn block(network: &str, seconds: Option<i64>) -> Block {
        Block {
            id: BlockId::from_bytes([1; 16]),
            network: network.parse().unwrap(),
            reason: "scans".to_owned(),
            automatic: false,
            made_at: NOW,
            expires_at: seconds.map(|seconds| NOW.plus_seconds(seconds)),
        }
    }

    #[test]
    fn an_address_is_found_in_its_networks_until_they_expire() {
        let blocks = Blocks::default();
        let holds = |address: &str, second| blocks.holds(Some(address.parse().unwrap()), NOW.plus_seconds(second));
        assert!(!holds("203.0.113.9", 0) && !blocks.holds(None, NOW));
        blocks.replace([
            block("203.0.113.9/32", Some(60)),
            block("198.51.100.0/24", None),
            block("2001:db8:1::/48", None),
        ]);
        assert!(holds("203.0.113.9", 59) && !holds("203.0.113.9", 60) && !holds("203.0.113.8", 0));
        assert!(holds("198.51.100.77", 0) && holds("::ffff:198.51.100.77", 0) && !holds("198.51.101.1", 0));
        assert!(holds("2001:db8:1:2::3", 0) && !holds("2001:db8:2::", 0));
        blocks.replace([]);
        assert!(!holds("198.51.100.77", 0));
    }
}
