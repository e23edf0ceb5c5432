//! What rings can be made with.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::os::fd::AsRawFd;

use lio_uring::kind::{CqeSize, SqeSize, Threads};
use lio_uring::{Features, IoUring, IoUringParams, RingMemory, SetupCause, SetupError};

use crate::report::{columns, heading, row, yes_or_no};

pub(crate) fn write_features(out: &mut String, features: Features) -> fmt::Result {
    heading(out, "Features that the kernel names")?;
    columns(out, "name")?;
    for (name, feature) in Features::all().iter_names() {
        row(
            out,
            name,
            feature.since(),
            &yes_or_no(features.contains(feature)),
        )?;
    }
    Ok(())
}

/// The flags of a ring for one thread, which takes the best that the kernel has.
pub(crate) fn write_fastest(out: &mut String) -> fmt::Result {
    heading(out, "Flags of a ring made with IoUring::new")?;
    match IoUring::new(8) {
        Ok(mut ring) => {
            let flags = ring.submission().setup_flags();
            let names: Vec<&str> = flags.iter_names().map(|(name, _)| name).collect();
            let names = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(" ")
            };
            writeln!(out, "  {names}")
        }
        Err(error) => writeln!(out, "  {error}"),
    }
}

/// Makes a ring with a flag, and drops it.
type Attempt = fn(IoUringParams) -> Result<(), Box<dyn Error>>;

/// Each flag: its name, the release that it came with, and a ring that has it.
const FLAGS: [(&str, &str, Attempt); 21] = [
    ("IOPOLL", "5.1", |params| halves(params.iopoll())),
    ("SQPOLL", "5.1", |params| halves(params.sqpoll(1))),
    ("SQ_AFF", "5.1", |params| {
        halves(params.sqpoll(1).sq_aff(processor()))
    }),
    ("CQSIZE", "5.5", |params| halves(params.cqsize(64))),
    ("CLAMP", "5.6", |params| halves(params.clamp())),
    ("ATTACH_WQ", "5.6", |params| {
        let (other, _sq) = IoUring::with_params(params)?;
        halves(params.attach_wq(other.as_raw_fd()))
    }),
    ("R_DISABLED", "5.10", |params| halves(params.r_disabled())),
    ("SUBMIT_ALL", "5.18", |params| halves(params.submit_all())),
    ("COOP_TASKRUN", "5.19", |params| {
        halves(params.coop_taskrun())
    }),
    ("TASKRUN_FLAG", "5.19", |params| {
        halves(params.coop_taskrun().taskrun_flag())
    }),
    ("SQE128", "5.19", |params| halves(params.sqe128())),
    ("CQE32", "5.19", |params| halves(params.cqe32())),
    ("SINGLE_ISSUER", "6.0", |params| {
        halves(params.single_issuer().exact())
    }),
    ("DEFER_TASKRUN", "6.1", |params| {
        halves(params.defer_taskrun().exact())
    }),
    ("NO_MMAP", "6.5", in_memory),
    ("REGISTERED_FD_ONLY", "6.5", |params| {
        in_memory(params.registered_fd_only())
    }),
    ("NO_SQARRAY", "6.6", |params| halves(params.no_sqarray())),
    ("HYBRID_IOPOLL", "6.13", |params| {
        halves(params.iopoll().hybrid_iopoll())
    }),
    ("CQE_MIXED", "6.18", |params| halves(params.cqe_mixed())),
    ("SQE_MIXED", "6.19", |params| halves(params.sqe_mixed())),
    ("SQ_REWIND", "7.0", |params| halves(params.sq_rewind())),
];

fn halves<T: Threads, S: SqeSize, C: CqeSize>(
    params: IoUringParams<T, S, C>,
) -> Result<(), Box<dyn Error>> {
    IoUring::with_params(params)?;
    Ok(())
}

/// Makes a ring in memory of the program's.
fn in_memory<T: Threads>(params: IoUringParams<T>) -> Result<(), Box<dyn Error>> {
    // Room for a few entries.
    let mut memory = RingMemory::new(1 << 14)?;
    params.halves_in(&mut memory)?;
    Ok(())
}

/// The processor that this runs on, which it may use.
fn processor() -> u32 {
    // SAFETY: the call has no conditions.
    unsafe { libc::sched_getcpu() }.try_into().unwrap_or(0)
}

pub(crate) fn write_setup_flags(out: &mut String) -> fmt::Result {
    heading(
        out,
        "Flags that a ring can be made with, as making one shows",
    )?;
    columns(out, "name")?;
    for (name, since, attempt) in FLAGS {
        let supported = match attempt(IoUringParams::default().entries(8)) {
            Ok(()) => "yes".to_owned(),
            Err(error) => match error.downcast_ref().map(SetupError::cause) {
                Some(SetupCause::UnknownFlags { .. } | SetupCause::Refused { .. }) => {
                    "no".to_owned()
                }
                _ => format!("no: {error}"),
            },
        };
        row(out, name, Some(since), &supported)?;
    }
    Ok(())
}
