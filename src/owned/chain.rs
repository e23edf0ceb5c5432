//! Operations that run one after the other.

use std::time::Duration;

use super::access::{Access, KEY, Key};
use super::core::Linked;
use super::operation::Operation;
use super::ring::Full;
use super::ticket::{Ticket, Unpushed};
use super::time::Limit;
use super::via::Via;
use crate::entry::{Sqe, SqeFlags};

mod sealed {
    #[expect(unnameable_types, reason = "so that nobody else implements it")]
    pub trait IsLink {}
    #[expect(unnameable_types, reason = "so that nobody else implements it")]
    pub trait IsChain {}
}
use sealed::{IsChain, IsLink};

/// A link of a chain: an operation, or one that is wrapped in [`Hard`] or [`Within`].
pub trait ChainLink: IsLink + Sized {
    /// The operation.
    type Operation: Operation;

    /// What ties the next link to it.
    #[doc(hidden)]
    const TIE: SqeFlags;

    /// The operation, and its limit.
    #[doc(hidden)]
    fn into_parts(self) -> (Self::Operation, Option<Duration>);

    /// The reverse.
    #[doc(hidden)]
    fn from_parts(operation: Self::Operation, limit: Option<Duration>) -> Self;

    /// How many entries it takes.
    #[doc(hidden)]
    fn places(&self) -> u32 {
        1
    }
}

/// A link without a limit in time: an operation, or one that is wrapped in [`Hard`].
pub trait Unlimited: ChainLink {}

impl<O: Operation> Unlimited for O {}
impl<O: Operation> Unlimited for Hard<O> {}

impl<O: Operation> IsLink for O {}
impl<O: Operation> ChainLink for O {
    type Operation = O;
    const TIE: SqeFlags = SqeFlags::IO_LINK;

    fn into_parts(self) -> (O, Option<Duration>) {
        (self, None)
    }

    fn from_parts(operation: O, _: Option<Duration>) -> O {
        operation
    }
}

/// A link behind which the chain goes on whatever becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hard<O>(pub O);

impl<O: Operation> IsLink for Hard<O> {}
impl<O: Operation> ChainLink for Hard<O> {
    type Operation = O;
    const TIE: SqeFlags = SqeFlags::IO_HARDLINK;

    fn into_parts(self) -> (O, Option<Duration>) {
        (self.0, None)
    }

    fn from_parts(operation: O, _: Option<Duration>) -> Self {
        Self(operation)
    }
}

/// A link that is stopped when it takes longer than this, counted from when it begins. It takes two
/// entries, and two places in the ring.
///
/// Before Linux 6.12 the limits of links behind the first may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within<L> {
    /// The link.
    pub link: L,
    /// How long it may take.
    pub limit: Duration,
}

impl<L: Unlimited> IsLink for Within<L> {}
impl<L: Unlimited> ChainLink for Within<L> {
    type Operation = L::Operation;
    const TIE: SqeFlags = L::TIE;

    fn into_parts(self) -> (L::Operation, Option<Duration>) {
        (self.link.into_parts().0, Some(self.limit))
    }

    fn from_parts(operation: L::Operation, limit: Option<Duration>) -> Self {
        Self {
            link: L::from_parts(operation, None),
            limit: limit.unwrap_or_default(),
        }
    }

    fn places(&self) -> u32 {
        2
    }
}

/// Operations that run one after the other: a tuple of up to eight [links](ChainLink), or a vector of
/// them.
///
/// A link that fails ends the chain: those behind it do not run, and end with `ECANCELED`. A read or
/// a write that moves fewer bytes than it was asked to counts as one that fails, and so does a send
/// or a receive with `MSG_WAITALL`. Behind a [`Hard`] link the chain goes on nevertheless.
///
/// `V` is what it is pushed by way of: a [reference to a ring](super::RingRef) or to a
/// [scope](super::Scope).
pub trait Chain<V: Via>: IsChain + Sized {
    /// What stands for the operations.
    type Tickets;

    /// Pushes all of them or none. What they borrow must outlive the ring's use of it.
    #[doc(hidden)]
    fn push_whole(self, via: &V, key: Key) -> Result<Self::Tickets, Full<Self>>;

    /// How many places in the ring it takes.
    #[doc(hidden)]
    fn places_of_links(&self) -> u32;
}

/// What an operation is in its slot, and its entry.
type InSlot<'a, V, O> = (Unpushed<'a, <V as Via>::Ring, <V as Via>::Inside<O>>, Sqe);

/// A link in its slot, or still out of it for want of one.
enum Placed<'a, V: Via, L: ChainLink> {
    In {
        operation: InSlot<'a, V, L::Operation>,
        mark: V::Mark,
        limit: Option<(Unpushed<'a, V::Ring, Limit>, Sqe, Duration)>,
    },
    Out(L),
}

impl<'a, V: Via, L: ChainLink> Placed<'a, V, L> {
    fn new(via: &'a V, link: L) -> Self {
        let (operation, limit) = link.into_parts();
        let (inside, mark) = via.enclose(operation);
        let placed = match Unpushed::place(via.ring(), inside, V::Inside::entry) {
            Ok(placed) => placed,
            Err(Full(inside)) => return Self::out(inside, limit),
        };
        let Some(duration) = limit else {
            return Self::In {
                operation: placed,
                mark,
                limit: None,
            };
        };
        match Unpushed::place(via.ring(), Limit::new(duration), Limit::entry) {
            Ok((limit, sqe)) => Self::In {
                operation: placed,
                mark,
                limit: Some((limit, sqe, duration)),
            },
            Err(Full(_)) => Self::out(placed.0.take(), Some(duration)),
        }
    }

    fn out(inside: V::Inside<L::Operation>, limit: Option<Duration>) -> Self {
        Self::Out(Self::link(inside, limit))
    }

    /// The link as it was.
    fn link(inside: V::Inside<L::Operation>, limit: Option<Duration>) -> L {
        L::from_parts(V::release(inside), limit)
    }

    /// The entries, tied to what is behind them.
    fn entries(&self, last: bool) -> [Option<Linked>; 2] {
        let Self::In {
            operation, limit, ..
        } = self
        else {
            return [None, None];
        };
        let tied = |sqe: &Sqe, last: bool| {
            let mut sqe = *sqe;
            if !last {
                sqe.insert_flags(L::TIE);
            }
            sqe
        };
        let entry = Linked {
            id: operation.0.id(),
            sqe: tied(&operation.1, last && limit.is_none()),
            is_limit: false,
        };
        let limit = limit.as_ref().map(|(limit, sqe, _)| Linked {
            id: limit.id(),
            sqe: tied(sqe, last),
            is_limit: true,
        });
        [Some(entry), limit]
    }

    fn is_in(&self) -> bool {
        matches!(self, Self::In { .. })
    }

    /// The link as it was.
    fn take(self) -> L {
        match self {
            Self::In {
                operation, limit, ..
            } => {
                let duration = limit.map(|(limit, _, duration)| {
                    drop(limit);
                    duration
                });
                Self::link(operation.0.take(), duration)
            }
            Self::Out(link) => link,
        }
    }

    /// Leaves it to the kernel, and makes the ticket.
    fn ticket(self, via: &V) -> V::Ticket<L::Operation> {
        let Self::In {
            operation,
            mark,
            limit,
        } = self
        else {
            unreachable!("its entry was pushed");
        };
        let id = operation.0.id();
        operation.0.leave_to_kernel();
        if let Some((limit, ..)) = limit {
            limit.leave_to_kernel();
        }
        via.ticket(mark, Ticket::new(via.ring().clone(), id))
    }
}

/// Pushes the entries of links that are all in their slots. Returns whether there was room.
fn push_entries<'e>(ring: &impl Access, entries: impl Iterator<Item = &'e Linked> + Clone) -> bool {
    // SAFETY: each entry is that of the operation in its slot, and limits are `Limit`s.
    ring.with(KEY, |core| unsafe { core.push_chain(entries) })
        .is_ok()
}

/// The most entries that a tuple takes.
const MOST: usize = 16;

/// Chains that are tuples.
macro_rules! tuples {
    ($(($last:ident $($link:ident)*))+) => {
        $(
            impl<$($link: ChainLink,)* $last: ChainLink> IsChain for ($($link,)* $last,) {}

            #[expect(non_snake_case, reason = "links are named as their types")]
            impl<V: Via, $($link: ChainLink,)* $last: ChainLink> Chain<V> for ($($link,)* $last,) {
                type Tickets = (
                    $(V::Ticket<$link::Operation>,)*
                    V::Ticket<$last::Operation>,
                );

                fn push_whole(self, via: &V, _: Key) -> Result<Self::Tickets, Full<Self>> {
                    let ($($link,)* $last,) = self;
                    $(let $link = Placed::new(via, $link);)*
                    let $last = Placed::new(via, $last);
                    let mut entries = [const { None }; MOST];
                    let mut places = entries.iter_mut();
                    let mut add = |both: [Option<Linked>; 2]| {
                        for (entry, place) in both.into_iter().flatten().zip(&mut places) {
                            *place = Some(entry);
                        }
                    };
                    $(add($link.entries(false));)*
                    add($last.entries(true));
                    let placed = $($link.is_in() &&)* $last.is_in();
                    if placed && push_entries(via.ring(), entries.iter().flatten()) {
                        return Ok(($($link.ticket(via),)* $last.ticket(via),));
                    }
                    Err(Full(($($link.take(),)* $last.take(),)))
                }

                fn places_of_links(&self) -> u32 {
                    let ($($link,)* $last,) = self;
                    $($link.places() +)* $last.places()
                }
            }
        )+
    };
}

tuples! {
    (A)
    (B A)
    (C A B)
    (D A B C)
    (E A B C D)
    (F A B C D E)
    (G A B C D E F)
    (H A B C D E F G)
}

impl<L: ChainLink> IsChain for Vec<L> {}

impl<V: Via, L: ChainLink> Chain<V> for Vec<L> {
    type Tickets = Vec<V::Ticket<L::Operation>>;

    fn push_whole(self, via: &V, _: Key) -> Result<Self::Tickets, Full<Self>> {
        let placed: Vec<_> = self
            .into_iter()
            .map(|link| Placed::new(via, link))
            .collect();
        let count = placed.len();
        let entries: Vec<_> = (1..)
            .zip(&placed)
            .flat_map(|(number, link)| link.entries(number == count))
            .flatten()
            .collect();
        if placed.iter().all(Placed::is_in) && push_entries(via.ring(), entries.iter()) {
            return Ok(placed.into_iter().map(|link| link.ticket(via)).collect());
        }
        Err(Full(placed.into_iter().map(Placed::take).collect()))
    }

    fn places_of_links(&self) -> u32 {
        self.iter().map(ChainLink::places).sum()
    }
}
