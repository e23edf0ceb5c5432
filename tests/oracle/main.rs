//! Compares every operation's entry, all 64 bytes of it, with what liburing's own function for that
//! operation writes, for some thousand sets of arguments each. The setters of the entry are
//! compared in the same way, and so is what takes a received message apart.

#![cfg(target_os = "linux")]

use std::fmt::Debug;
use std::mem::{self, MaybeUninit};
use std::ptr;

use lio_uring::operation::Operation;
use lio_uring::{Sqe, sys};

const ROUNDS: u32 = 4000;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Arguments: random ones, and often the extremes of a width.
#[derive(Debug)]
struct Arguments {
    state: u64,
}

impl Arguments {
    fn long(&mut self) -> u64 {
        const EXTREMES: [u64; 8] = [
            0,
            1,
            u16::MAX as u64,
            i32::MAX as u64,
            u32::MAX as u64,
            i64::MAX as u64,
            1 << 63,
            u64::MAX,
        ];
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let random = self.state;
        if random.trailing_zeros() >= 2 {
            EXTREMES[(random >> 60) as usize & 7]
        } else {
            random >> 2
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is as random as the whole"
    )]
    fn word(&mut self) -> u32 {
        self.long() as u32
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low part is as random as the whole"
    )]
    fn half(&mut self) -> u16 {
        self.long() as u16
    }

    fn int(&mut self) -> i32 {
        self.word().cast_signed()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "an address has as many bits as there are"
    )]
    fn pointer<T>(&mut self) -> *mut T {
        ptr::without_provenance_mut(self.long() as usize)
    }
}

/// Runs the checks of one test with many sets of arguments, always the same ones.
fn with_arguments(check: impl Fn(&mut Arguments)) {
    let mut arguments = Arguments { state: SEED };
    for _ in 0..ROUNDS {
        check(&mut arguments);
    }
}

fn empty() -> sys::io_uring_sqe {
    // SAFETY: an entry is made of integers, for which 0 is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// An operation's entry after some settings, as `push_with` makes it.
fn entry_with(operation: &impl Operation, settings: impl FnOnce(&mut Sqe)) -> Sqe {
    let mut sqe = Sqe::of(operation);
    settings(&mut sqe);
    sqe
}

/// Fails with the names of the fields that differ.
fn assert_same(ours: &Sqe, theirs: sys::io_uring_sqe, function: &str, operation: &dyn Debug) {
    const FIELDS: [(usize, &str); 14] = [
        (0, "opcode"),
        (1, "flags"),
        (2, "ioprio"),
        (4, "fd"),
        (8, "off, addr2"),
        (16, "addr"),
        (24, "len"),
        (28, "op flags"),
        (32, "user_data"),
        (40, "buf_index, buf_group"),
        (42, "personality"),
        (44, "file_index"),
        (48, "addr3"),
        (56, "padding"),
    ];
    // SAFETY: an entry is 64 bytes of integers without padding.
    let theirs = unsafe { mem::transmute::<sys::io_uring_sqe, [u8; 64]>(theirs) };
    if *ours.as_bytes() == theirs {
        return;
    }
    let differences: Vec<String> = FIELDS
        .into_iter()
        .enumerate()
        .map(|(index, (start, name))| {
            let end = FIELDS.get(index + 1).map_or(64, |next| next.0);
            (
                start,
                name,
                &ours.as_bytes()[start..end],
                &theirs[start..end],
            )
        })
        .filter(|(_, _, ours, theirs)| ours != theirs)
        .map(|(start, name, ours, theirs)| {
            format!("\n  {name} (at {start}): {ours:02x?}, in C {theirs:02x?}")
        })
        .collect();
    panic!(
        "{function} writes another entry than {operation:x?}, seed {SEED:#x}:{}",
        differences.concat()
    );
}

/// `same!(operation, io_uring_prep_x(arguments))`: C's function writes the same entry. With
/// `operation => |sqe| settings`, it is the entry after these settings.
macro_rules! same {
    ($operation:expr, $prep:ident($($argument:expr),*)) => {
        same!($operation => |_sqe| (), $prep($($argument),*))
    };
    ($operation:expr => |$sqe:ident| $settings:expr, $prep:ident($($argument:expr),*)) => {{
        let operation = $operation;
        let mut theirs = crate::empty();
        // SAFETY: the function writes to the entry and follows no other pointer.
        unsafe { sys::$prep(&raw mut theirs, $($argument),*) };
        let ours = crate::entry_with(&operation, |$sqe| $settings);
        crate::assert_same(&ours, theirs, stringify!($prep), &operation);
    }};
}

mod control;
mod files;
mod messages;
mod setters;
mod slots;
mod sockets;
