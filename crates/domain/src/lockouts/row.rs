//! Who is kept out for now, as it is stored: listed, with an end, and to be undone.

use async_trait::async_trait;

use super::Ladder;
use crate::{
    ids::{LockoutId, UserId},
    store::StoreError,
    time::Timestamp,
};

codes! {
    /// What is kept out.
    pub enum LockoutKind {
        /// A user: logins by password pause after failed ones.
        Account = "account",
        /// An API key: its limits refused it again and again.
        ApiKey = "api_key",
        /// A session with all its tokens: its limits refused it again and again.
        Session = "session",
    }
}

/// Somebody, or a credential, that is kept out for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockout {
    /// Its id.
    pub id: LockoutId,
    /// What is kept out.
    pub kind: LockoutKind,
    /// Its id: of the user, the API key or the session.
    pub subject: String,
    /// Whose session it is; the user that pauses.
    pub user: Option<UserId>,
    /// The limit that refused it; none where logins failed.
    pub policy: Option<String>,
    /// The ladders that pause, where logins failed: what an undo clears. No address is in them, only a MAC of it.
    pub ladders: Vec<Ladder>,
    /// Since when.
    pub made_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// How many ladders of one account are kept: of the last addresses from which it pauses.
pub(super) const MOST_LADDERS: usize = 16;

impl Lockout {
    /// Its ladders as text: `KIND:HEX`, separated by spaces.
    pub fn ladders_text(&self) -> String {
        let hex = |of: &[u8]| data_encoding::HEXLOWER.encode(of);
        self.ladders.iter().map(|ladder| format!("{}:{}", ladder.kind, hex(&ladder.of))).collect::<Vec<_>>().join(" ")
    }

    /// Reads what [`Self::ladders_text`] wrote.
    pub fn ladders_from_text(text: &str) -> Option<Vec<Ladder>> {
        let one = |word: &str| {
            let (kind, of) = word.split_once(':')?;
            let of = data_encoding::HEXLOWER.decode(of.as_bytes()).ok()?.try_into().ok()?;
            Some(Ladder { kind: kind.parse().ok()?, of })
        };
        text.split_ascii_whitespace().map(one).collect()
    }
}

/// Reads who is kept out.
#[async_trait]
pub trait LockoutRows {
    /// Those that have not expired, by id, those after `after`, at most `limit`.
    async fn lockouts(
        &mut self,
        now: Timestamp,
        after: Option<LockoutId>,
        limit: u32,
    ) -> Result<Vec<Lockout>, StoreError>;
    /// By id, expired or not.
    async fn find_lockout(&mut self, id: LockoutId) -> Result<Option<Lockout>, StoreError>;
    /// The one of this subject that has not expired.
    async fn lockout_of(
        &mut self,
        kind: LockoutKind,
        subject: &str,
        now: Timestamp,
    ) -> Result<Option<Lockout>, StoreError>;
    /// Until when an address of a user is known, if it was ever: a moment that may be over. `address` stands for it and is none.
    async fn known_address(&mut self, user: UserId, address: &str) -> Result<Option<Timestamp>, StoreError>;
}

/// Changes who is kept out. What keeps a credential out raises the tenant's epoch: every node looks it up again.
#[async_trait]
pub trait LockoutWrites {
    /// Keeps one, in the place of another of the same subject, whose id stays.
    async fn put_lockout(&mut self, lockout: &Lockout) -> Result<(), StoreError>;
    /// Takes away the one of this subject, if there is one.
    async fn remove_lockout_of(&mut self, kind: LockoutKind, subject: &str) -> Result<(), StoreError>;
    /// Takes away those that have expired.
    async fn forget_lockouts(&mut self, now: Timestamp) -> Result<(), StoreError>;
    /// Notes until when an address of a user is known. Of each user so many stay as are known longest.
    async fn know_address(
        &mut self,
        user: UserId,
        address: &str,
        until: Timestamp,
        most: u32,
    ) -> Result<(), StoreError>;
    /// Takes away addresses that are not known any more.
    async fn forget_addresses(&mut self, now: Timestamp) -> Result<(), StoreError>;
    /// Takes away those of a user.
    async fn forget_addresses_of(&mut self, user: UserId) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockouts::LadderKind;

    #[test]
    fn ladders_are_read_as_they_were_written() {
        let ladders =
            vec![Ladder { kind: LadderKind::Pair, of: [0xfe; 16] }, Ladder { kind: LadderKind::Account, of: [1; 16] }];
        let lockout = Lockout {
            id: LockoutId::from_bytes([1; 16]),
            kind: LockoutKind::Account,
            subject: UserId::from_bytes([2; 16]).to_string(),
            user: Some(UserId::from_bytes([2; 16])),
            policy: None,
            ladders: ladders.clone(),
            made_at: Timestamp::from_seconds(1_790_000_000),
            expires_at: Timestamp::from_seconds(1_790_000_060),
        };
        assert_eq!(Lockout::ladders_from_text(&lockout.ladders_text()), Some(ladders));
        assert_eq!(Lockout::ladders_from_text(""), Some(Vec::new()));
        for odd in ["pair", "pair:01", "moon:01010101010101010101010101010101", "pair:xx"] {
            assert_eq!(Lockout::ladders_from_text(odd), None, "{odd}");
        }
    }
}
