//! What a key version may do, and what it may become (design §5, SP 800-57 part 1).

codes! {
    /// What a key version may do (design §5, SP 800-57 part 1).
    pub enum KeyState {
        /// Staged.
        Pending = "pending",
        /// Seals and signs; one per key.
        Active = "active",
        /// Superseded; still opens and verifies, and values under it remain or may remain.
        Rotating = "rotating",
        /// Superseded; nothing is left to re-seal.
        Inactive = "inactive",
        /// Stopped for now.
        Suspended = "suspended",
        /// Its time is over; opens and verifies, alarmed.
        Expired = "expired",
        /// Compromised.
        Revoked = "revoked",
        /// Waiting for destruction.
        PendingDeletion = "pending_deletion",
        /// Gone.
        Destroyed = "destroyed",
    }
}

impl KeyState {
    /// Whether old values open in an emergency, under an approval.
    pub const fn opens_by_break_glass(self) -> bool {
        self.opens() || matches!(self, Self::Suspended | Self::Revoked)
    }

    /// Whether old values open and old signatures verify.
    pub const fn opens(self) -> bool {
        matches!(self, Self::Active | Self::Rotating | Self::Inactive | Self::Expired)
    }
}

codes! {
    /// Why a version was revoked (after RFC 5280 §5.3.1).
    pub enum RevocationReason {
        /// Not said.
        Unspecified = "unspecified",
        /// Its secret half may be known to others.
        KeyCompromise = "key_compromise",
        /// Another one took its place.
        Superseded = "superseded",
        /// Nobody uses it any more.
        CessationOfOperation = "cessation_of_operation",
        /// Its users lost the right to it.
        PrivilegeWithdrawn = "privilege_withdrawn",
    }
}

/// Why a version was revoked, and what of its signatures still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Why.
    pub reason: RevocationReason,
    /// The last index of the log up to which certificates under it stay valid; `None` for none of them.
    pub last_valid_index: Option<u64>,
}

impl KeyState {
    /// Whether new values are sealed and new signatures made.
    pub const fn seals(self) -> bool {
        matches!(self, Self::Active)
    }

    /// Whether a version may go from this state to `to`. Everything else is refused.
    pub const fn may_become(self, to: Self) -> bool {
        use KeyState::{Active, Destroyed, Expired, Inactive, Pending, PendingDeletion, Revoked, Rotating, Suspended};
        match self {
            Pending => matches!(to, Active | Revoked | PendingDeletion),
            Active => matches!(to, Rotating | Inactive | Suspended | Expired | Revoked | PendingDeletion),
            Rotating => matches!(to, Inactive | Suspended | Expired | Revoked | PendingDeletion),
            Inactive => matches!(to, Suspended | Expired | Revoked | PendingDeletion),
            Suspended => matches!(to, Active | Rotating | Inactive | Expired | Revoked | PendingDeletion),
            Expired => matches!(to, Suspended | Revoked | PendingDeletion),
            // Destroyed at once only by force, which is for what is revoked already (KM-04).
            Revoked => matches!(to, PendingDeletion | Destroyed),
            // Cancelled, it becomes what it was; found compromised while it waits, it is revoked.
            PendingDeletion => {
                matches!(to, Pending | Active | Rotating | Inactive | Suspended | Expired | Revoked | Destroyed)
            }
            Destroyed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row: from; column: to; in the order of declaration. `x` is allowed.
    const TABLE: [(KeyState, &str); 9] = [
        //                          p a r i s e v d D
        (KeyState::Pending, "         . x . . . . x x ."),
        (KeyState::Active, "          . . x x x x x x ."),
        (KeyState::Rotating, "        . . . x x x x x ."),
        (KeyState::Inactive, "        . . . . x x x x ."),
        (KeyState::Suspended, "       . x x x . x x x ."),
        (KeyState::Expired, "         . . . . x . x x ."),
        (KeyState::Revoked, "         . . . . . . . x x"),
        (KeyState::PendingDeletion, " x x x x x x x . x"),
        (KeyState::Destroyed, "       . . . . . . . . ."),
    ];

    #[test]
    fn every_pair_of_states_is_allowed_or_refused_as_the_table_says() {
        let mut seen = 0;
        for (from, row) in TABLE {
            for (to, allowed) in KeyState::ALL.iter().zip(row.split_ascii_whitespace()) {
                assert_eq!(from.may_become(*to), allowed == "x", "{from} to {to}");
                seen += 1;
            }
        }
        assert_eq!(seen, 81);
    }

    #[test]
    fn nothing_leads_out_of_destruction_and_nothing_stays_where_it_is() {
        for state in KeyState::ALL {
            assert!(!state.may_become(*state), "{state}");
            assert!(!KeyState::Destroyed.may_become(*state), "{state}");
        }
    }

    #[test]
    fn what_is_compromised_never_seals_or_opens_again() {
        for state in KeyState::ALL.iter().filter(|state| KeyState::Revoked.may_become(**state)) {
            assert!(!state.opens() && !state.seals(), "{state}");
        }
    }
}
