//! What the kernel says of itself when it makes a ring.

use bitflags::bitflags;

use crate::sys;

bitflags! {
    /// What the running kernel can do beyond operations, as it said when a ring was made.
    ///
    /// Which *operations* it has, [`Probe`](crate::Probe) knows.
    ///
    /// C: `IORING_FEAT_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Features: u32 {
        /// Both queues lie in one mapping. Since Linux 5.4.
        const SINGLE_MMAP = sys::IORING_FEAT_SINGLE_MMAP;
        /// Completions that do not fit into the queue are kept. Since Linux 5.5.
        const NODROP = sys::IORING_FEAT_NODROP;
        /// What an entry points to for its *arguments* may go once the entry is submitted.
        /// Since Linux 5.5.
        const SUBMIT_STABLE = sys::IORING_FEAT_SUBMIT_STABLE;
        /// Reads and writes at an offset of -1 use the file's position. Since Linux 5.6.
        const RW_CUR_POS = sys::IORING_FEAT_RW_CUR_POS;
        /// Operations run with the credentials of whoever submits them. Since Linux 5.6.
        const CUR_PERSONALITY = sys::IORING_FEAT_CUR_PERSONALITY;
        /// Waiting for sockets and pipes takes no kernel thread. Since Linux 5.7.
        const FAST_POLL = sys::IORING_FEAT_FAST_POLL;
        /// Polls take all 32 bits of a mask. Since Linux 5.9.
        const POLL_32BITS = sys::IORING_FEAT_POLL_32BITS;
        /// SQPOLL works with unregistered files. Since Linux 5.11.
        const SQPOLL_NONFIXED = sys::IORING_FEAT_SQPOLL_NONFIXED;
        /// Waiting takes a time limit and a signal mask. Since Linux 5.11.
        const EXT_ARG = sys::IORING_FEAT_EXT_ARG;
        /// Kernel workers are threads of the process. Since Linux 5.12.
        const NATIVE_WORKERS = sys::IORING_FEAT_NATIVE_WORKERS;
        /// Registered files and buffers can carry tags. Since Linux 5.13.
        const RSRC_TAGS = sys::IORING_FEAT_RSRC_TAGS;
        /// Completions of successes can be left out. Since Linux 5.17.
        const CQE_SKIP = sys::IORING_FEAT_CQE_SKIP;
        /// A chain's later parts look up their file when they start. Since Linux 5.17.
        const LINKED_FILE = sys::IORING_FEAT_LINKED_FILE;
        /// Registering works through a registered ring descriptor. Since Linux 6.3.
        const REG_REG_RING = sys::IORING_FEAT_REG_REG_RING;
        /// Sends and receives can use several buffers at once. Since Linux 6.10.
        const RECVSEND_BUNDLE = sys::IORING_FEAT_RECVSEND_BUNDLE;
        /// Waiting takes a minimum time. Since Linux 6.12.
        const MIN_TIMEOUT = sys::IORING_FEAT_MIN_TIMEOUT;
        /// Reads and writes take attributes. Since Linux 6.14.
        const RW_ATTR = sys::IORING_FEAT_RW_ATTR;
        /// Waiting can be left out of the I/O wait statistics. Since Linux 6.15.
        const NO_IOWAIT = sys::IORING_FEAT_NO_IOWAIT;

        const _ = !0;
    }
}

/// The first kernel that names each feature.
pub(crate) const SINCE: [(Features, &str); 18] = [
    (Features::SINGLE_MMAP, "5.4"),
    (Features::NODROP, "5.5"),
    (Features::SUBMIT_STABLE, "5.5"),
    (Features::RW_CUR_POS, "5.6"),
    (Features::CUR_PERSONALITY, "5.6"),
    (Features::FAST_POLL, "5.7"),
    (Features::POLL_32BITS, "5.9"),
    (Features::SQPOLL_NONFIXED, "5.11"),
    (Features::EXT_ARG, "5.11"),
    (Features::NATIVE_WORKERS, "5.12"),
    (Features::RSRC_TAGS, "5.13"),
    (Features::CQE_SKIP, "5.17"),
    (Features::LINKED_FILE, "5.17"),
    (Features::REG_REG_RING, "6.3"),
    (Features::RECVSEND_BUNDLE, "6.10"),
    (Features::MIN_TIMEOUT, "6.12"),
    (Features::RW_ATTR, "6.14"),
    (Features::NO_IOWAIT, "6.15"),
];

impl Features {
    /// The first kernel that names all of these, as text: `"6.10"`; `None` for none, or for one that
    /// this library does not know.
    ///
    /// For people to read.
    pub fn since(self) -> Option<&'static str> {
        if !Self::all_known().contains(self) {
            return None;
        }
        let mut in_order = SINCE.iter().rev();
        let newest = in_order.find(|(feature, _)| self.intersects(*feature));
        newest.map(|(_, since)| *since)
    }

    fn all_known() -> Self {
        SINCE.iter().map(|(feature, _)| *feature).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::release;

    #[test]
    fn every_feature_has_its_release_and_they_are_in_order() {
        let named: Features = Features::all()
            .iter_names()
            .map(|(_, feature)| feature)
            .collect();
        assert_eq!(named, Features::all_known());
        assert!(SINCE.is_sorted_by_key(|(_, since)| release(since)));
    }

    #[test]
    fn several_features_are_as_old_as_the_newest() {
        assert_eq!(
            (Features::NODROP | Features::CQE_SKIP).since(),
            Some("5.17")
        );
        assert_eq!(Features::empty().since(), None);
        let unknown = Features::from_bits_retain(1 << 31);
        assert_eq!((Features::NODROP | unknown).since(), None);
    }
}
