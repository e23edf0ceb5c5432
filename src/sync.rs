//! What threads share state with: the standard library's types, or those of loom, whose models run
//! through the orders in which threads can meet.

#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    hint::spin_loop,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64},
    },
};

#[cfg(all(test, loom))]
pub(crate) use loom::{
    hint::spin_loop,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64},
    },
};
