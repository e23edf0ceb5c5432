//! The flags that a ring is made with.

use bitflags::bitflags;

#[cfg(doc)]
use super::IoUringParams;
use crate::sys;

bitflags! {
    /// The flags that a ring is made with.
    ///
    /// [`IoUringParams`] has a method of the same name for each, which says what it does.
    ///
    /// C: `IORING_SETUP_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SetupFlags: u32 {
        /// [`IoUringParams::iopoll`].
        const IOPOLL = sys::IORING_SETUP_IOPOLL;
        /// [`IoUringParams::sqpoll`].
        const SQPOLL = sys::IORING_SETUP_SQPOLL;
        /// [`IoUringParams::sq_aff`].
        const SQ_AFF = sys::IORING_SETUP_SQ_AFF;
        /// [`IoUringParams::cqsize`].
        const CQSIZE = sys::IORING_SETUP_CQSIZE;
        /// [`IoUringParams::clamp`].
        const CLAMP = sys::IORING_SETUP_CLAMP;
        /// [`IoUringParams::attach_wq`].
        const ATTACH_WQ = sys::IORING_SETUP_ATTACH_WQ;
        /// [`IoUringParams::r_disabled`].
        const R_DISABLED = sys::IORING_SETUP_R_DISABLED;
        /// [`IoUringParams::submit_all`].
        const SUBMIT_ALL = sys::IORING_SETUP_SUBMIT_ALL;
        /// [`IoUringParams::coop_taskrun`].
        const COOP_TASKRUN = sys::IORING_SETUP_COOP_TASKRUN;
        /// [`IoUringParams::taskrun_flag`].
        const TASKRUN_FLAG = sys::IORING_SETUP_TASKRUN_FLAG;
        /// [`IoUringParams::sqe128`].
        const SQE128 = sys::IORING_SETUP_SQE128;
        /// [`IoUringParams::cqe32`].
        const CQE32 = sys::IORING_SETUP_CQE32;
        /// [`IoUringParams::single_issuer`].
        const SINGLE_ISSUER = sys::IORING_SETUP_SINGLE_ISSUER;
        /// [`IoUringParams::defer_taskrun`].
        const DEFER_TASKRUN = sys::IORING_SETUP_DEFER_TASKRUN;
        /// [`IoUringParams::no_mmap`].
        const NO_MMAP = sys::IORING_SETUP_NO_MMAP;
        /// [`IoUringParams::registered_fd_only`].
        const REGISTERED_FD_ONLY = sys::IORING_SETUP_REGISTERED_FD_ONLY;
        /// [`IoUringParams::no_sqarray`].
        const NO_SQARRAY = sys::IORING_SETUP_NO_SQARRAY;
        /// [`IoUringParams::hybrid_iopoll`].
        const HYBRID_IOPOLL = sys::IORING_SETUP_HYBRID_IOPOLL;
        /// [`IoUringParams::cqe_mixed`].
        const CQE_MIXED = sys::IORING_SETUP_CQE_MIXED;
        /// [`IoUringParams::sqe_mixed`].
        const SQE_MIXED = sys::IORING_SETUP_SQE_MIXED;
        /// [`IoUringParams::sq_rewind`].
        const SQ_REWIND = sys::IORING_SETUP_SQ_REWIND;

        const _ = !0;
    }
}
