//! What the operations of a chain are pushed by way of.

use super::access::RingRef;
use super::operation::Operation;
use super::ticket::Ticket;

/// A way for operations into a ring: a reference to the ring, or to one of its scopes.
#[expect(
    unnameable_types,
    reason = "so that nobody else implements or calls it"
)]
pub trait Via {
    /// How tickets refer to the ring.
    type Ring: RingRef + Clone;

    /// What an operation is in its slot.
    type Inside<O: Operation>: Operation;

    /// By what the operation is known until it has a ticket.
    type Mark: Copy;

    /// What stands for an operation.
    type Ticket<O: Operation>;

    fn ring(&self) -> &Self::Ring;

    /// Makes an operation what it is in its slot.
    fn enclose<O: Operation>(&self, operation: O) -> (Self::Inside<O>, Self::Mark);

    /// The operation as it was.
    fn release<O: Operation>(inside: Self::Inside<O>) -> O;

    /// What stands for an operation that was pushed just now. Calls no foreign code.
    fn ticket<O: Operation>(
        &self,
        mark: Self::Mark,
        ticket: Ticket<Self::Ring, Self::Inside<O>>,
    ) -> Self::Ticket<O>;
}

impl<R: RingRef + Clone> Via for R {
    type Ring = R;
    type Inside<O: Operation> = O;
    type Mark = ();
    type Ticket<O: Operation> = Ticket<R, O>;

    fn ring(&self) -> &R {
        self
    }

    fn enclose<O: Operation>(&self, operation: O) -> (O, ()) {
        (operation, ())
    }

    fn release<O: Operation>(inside: O) -> O {
        inside
    }

    fn ticket<O: Operation>(&self, (): (), ticket: Ticket<R, O>) -> Ticket<R, O> {
        ticket
    }
}
