//! What is pushed to the ring, and how its completions are told apart.

use lio_uring::operation::Operation;
use lio_uring::{OneThread, QueueFull, Sqe, SubmissionQueue};

/// What an operation does for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Accept,
    StopAccepting,
    AcceptAgain,
    Signal,
    Receive,
    PauseReceive,
    Send,
    Shutdown,
    Close,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Accept,
        Self::StopAccepting,
        Self::AcceptAgain,
        Self::Signal,
        Self::Receive,
        Self::PauseReceive,
        Self::Send,
        Self::Shutdown,
        Self::Close,
    ];
}

const _: () = {
    let mut code = 0;
    while code < Kind::ALL.len() {
        assert!(
            Kind::ALL[code] as usize == code,
            "the list is in another order"
        );
        code += 1;
    }
};

/// Names an operation: what it does and for which connection. Travels as its `user_data`.
///
/// The generation tells a connection from an earlier one in the same slot. The kind takes the
/// upper 8 bits, the generation 24, the slot 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Token {
    /// Generations are counted modulo this.
    pub(crate) const GENERATIONS: u32 = 1 << 24;

    /// An operation that is no connection's.
    pub(crate) const fn of(kind: Kind) -> Self {
        Self {
            kind,
            slot: 0,
            generation: 0,
        }
    }

    pub(crate) const fn with(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    pub(crate) fn user_data(self) -> u64 {
        u64::from(self.kind as u8) << 56 | u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    pub(crate) fn from_user_data(user_data: u64) -> Option<Self> {
        let [kind, g2, g1, g0, s3, s2, s1, s0] = user_data.to_be_bytes();
        Some(Self {
            kind: *Kind::ALL.get(usize::from(kind))?,
            slot: u32::from_be_bytes([s3, s2, s1, s0]),
            generation: u32::from_be_bytes([0, g2, g1, g0]),
        })
    }
}

/// The submission queue, with a count of the operations that have not ended.
pub(crate) struct Entries<'r> {
    pub(crate) sq: &'r mut SubmissionQueue<OneThread>,
    pub(crate) in_flight: &'r mut u32,
}

impl Entries<'_> {
    /// # Safety
    ///
    /// That of [`SubmissionQueue::push`].
    pub(crate) unsafe fn push<O: Operation>(
        &mut self,
        operation: &O,
        token: Token,
    ) -> Result<(), QueueFull> {
        // SAFETY: the caller's promise.
        unsafe { self.push_with(operation, token, |_| ()) }
    }

    /// # Safety
    ///
    /// That of [`SubmissionQueue::push_with`].
    pub(crate) unsafe fn push_with<O: Operation>(
        &mut self,
        operation: &O,
        token: Token,
        settings: impl FnOnce(&mut Sqe),
    ) -> Result<(), QueueFull> {
        // SAFETY: the caller's promise.
        unsafe { self.sq.push_with(operation, token.user_data(), settings) }?;
        *self.in_flight += 1;
        Ok(())
    }
}
