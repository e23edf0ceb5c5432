//! The error types: what they promise to whoever passes them on, and what they say.

#![cfg(target_os = "linux")]

use std::error::Error;
use std::fmt::Debug;
use std::io;

use lio_uring::operation::Nop;
use lio_uring::{
    Availability, IoUring, QueueFull, RegisterCause, RegisterError, SetupCause, SetupError,
    SetupFlags, SubmitCause, SubmitError, availability, with_capacity,
};

/// Every cause that a ring's creation can fail for.
fn setup_causes() -> Vec<SetupCause> {
    vec![
        SetupCause::NoKernelSupport,
        SetupCause::DisabledBySysctl,
        SetupCause::NotInGroup { group: 4711 },
        SetupCause::Seccomp,
        SetupCause::Forbidden,
        SetupCause::Memlock {
            needed: 12_288,
            limit: 8192,
        },
        SetupCause::OutOfMemory,
        SetupCause::DescriptorLimit { limit: 1024 },
        SetupCause::ThreadLimit,
        SetupCause::SystemDescriptorLimit,
        SetupCause::InvalidParams {
            reason: "two flags exclude each other",
        },
        SetupCause::UnknownFlags {
            flags: SetupFlags::SQ_REWIND,
        },
        SetupCause::Refused {
            flags: SetupFlags::SQPOLL | SetupFlags::SQ_AFF,
        },
        SetupCause::NotARing { fd: 17 },
        SetupCause::RegisteredRingLimit,
        SetupCause::Unusable,
        SetupCause::Other { errno: libc::EIO },
    ]
}

const SUBMIT_CAUSES: [SubmitCause; 6] = [
    SubmitCause::CompletionQueueBusy,
    SubmitCause::Resources,
    SubmitCause::WrongThread,
    SubmitCause::Disabled,
    SubmitCause::CompletionLost,
    SubmitCause::Fatal,
];

/// Every cause that a registration can fail for.
fn register_causes() -> Vec<RegisterCause> {
    vec![
        RegisterCause::Memlock {
            needed: 12_288,
            limit: 8192,
        },
        RegisterCause::DescriptorLimit { limit: 1024 },
        RegisterCause::AlreadyRegistered,
        RegisterCause::NotRegistered,
        RegisterCause::BadDescriptor,
        RegisterCause::BadMemory,
        RegisterCause::WrongThread,
        RegisterCause::NotAllowed,
        RegisterCause::Refused {
            needs: "Linux 5.13",
        },
        RegisterCause::Other { errno: libc::EIO },
    ]
}

#[track_caller]
fn messages_are_clauses<C: Error + PartialEq>(causes: &[C]) {
    for (index, cause) in causes.iter().enumerate() {
        let message = cause.to_string();
        assert!(
            !message.is_empty() && !message.ends_with(['.', '\n', ' ']),
            "{message}"
        );
        assert!(
            !message.contains("  ") && !message.contains('{'),
            "{message}"
        );
        assert!(
            causes[..index]
                .iter()
                .all(|other| other.to_string() != message),
            "{message}"
        );
        assert!(causes[..index].iter().all(|other| other != cause));
    }
}

#[test]
fn errors_can_be_sent_shared_and_boxed() {
    fn is_error<E: Error + Clone + PartialEq + Send + Sync + 'static>() {}
    fn can_be_sent<T: Debug + Clone + PartialEq + Send + Sync + 'static>() {}
    is_error::<QueueFull>();
    is_error::<SubmitError>();
    is_error::<SubmitCause>();
    is_error::<SetupError>();
    is_error::<SetupCause>();
    is_error::<RegisterError>();
    is_error::<RegisterCause>();
    can_be_sent::<Availability>();
}

#[test]
fn errors_of_all_kinds_are_passed_on_by_one_operator() {
    fn all() -> Result<(), Box<dyn Error + Send + Sync>> {
        let (_cq, mut sq) = with_capacity(1)?;
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, 0) }?;
        sq.submit()?;
        sq.register_files(&[0])?;
        sq.unregister_files()?;
        Ok(())
    }
    all().unwrap();
}

#[test]
fn causes_say_something_of_their_own() {
    messages_are_clauses(&setup_causes());
    messages_are_clauses(&SUBMIT_CAUSES);
    messages_are_clauses(&register_causes());
}

#[test]
fn causes_with_values_name_them() {
    let named = [
        (
            SetupCause::NotInGroup { group: 4711 }.to_string(),
            "the group 4711,",
        ),
        (
            SetupCause::Memlock {
                needed: 12_288,
                limit: 8192,
            }
            .to_string(),
            "need 12288 bytes",
        ),
        (
            SetupCause::Memlock {
                needed: 12_288,
                limit: 8192,
            }
            .to_string(),
            "allows 8192 for all",
        ),
        (
            SetupCause::DescriptorLimit { limit: 1024 }.to_string(),
            "all the 1024 descriptors",
        ),
        (
            SetupCause::InvalidParams { reason: "of this" }.to_string(),
            "cannot work: of this",
        ),
        (
            SetupCause::UnknownFlags {
                flags: SetupFlags::SQ_REWIND,
            }
            .to_string(),
            "SQ_REWIND",
        ),
        (
            SetupCause::Refused {
                flags: SetupFlags::SQPOLL,
            }
            .to_string(),
            "SQPOLL",
        ),
        (
            SetupCause::NotARing { fd: 17 }.to_string(),
            "the descriptor 17 given to `attach_wq`",
        ),
        (
            SetupCause::Other { errno: libc::EIO }.to_string(),
            "Input/output error",
        ),
        (
            RegisterCause::Memlock {
                needed: 4096,
                limit: 0,
            }
            .to_string(),
            "at least 4096 bytes",
        ),
        (
            RegisterCause::Memlock {
                needed: 4096,
                limit: 0,
            }
            .to_string(),
            "allows 0 for all",
        ),
        (
            RegisterCause::DescriptorLimit { limit: 64 }.to_string(),
            "the 64 descriptors",
        ),
        (
            RegisterCause::Refused {
                needs: "Linux 5.13",
            }
            .to_string(),
            "arguments: Linux 5.13",
        ),
        (
            RegisterCause::Other { errno: libc::EIO }.to_string(),
            "Input/output error",
        ),
    ];
    for (message, value) in named {
        assert!(message.contains(value), "{message}");
    }
}

#[test]
fn causes_that_can_be_mended_say_how() {
    let mended = [
        (SetupCause::NoKernelSupport.to_string(), "Linux 5.1"),
        (
            SetupCause::DisabledBySysctl.to_string(),
            "an administrator can set it to 0",
        ),
        (
            SetupCause::NotInGroup { group: -1 }.to_string(),
            "kernel.io_uring_disabled to 0",
        ),
        (
            SetupCause::Seccomp.to_string(),
            "run with a profile that allows io_uring_setup",
        ),
        (SetupCause::Forbidden.to_string(), "SELinux"),
        (
            SetupCause::Memlock {
                needed: 1,
                limit: 0,
            }
            .to_string(),
            "raise it (ulimit -l)",
        ),
        (SetupCause::OutOfMemory.to_string(), "use fewer entries"),
        (
            SetupCause::DescriptorLimit { limit: 1 }.to_string(),
            "RLIMIT_NOFILE",
        ),
        (
            SetupCause::SystemDescriptorLimit.to_string(),
            "the sysctl fs.file-max",
        ),
        (SetupCause::ThreadLimit.to_string(), "do without `sqpoll`"),
        (SetupCause::RegisteredRingLimit.to_string(), "drop one"),
        (SetupCause::Unprobed.to_string(), "Linux before 5.6"),
        (
            SubmitCause::CompletionQueueBusy.to_string(),
            "take completions, then submit again",
        ),
        (
            SubmitCause::Resources.to_string(),
            "take completions or wait, then submit again",
        ),
        (SubmitCause::Disabled.to_string(), "enable it first"),
        (
            RegisterCause::Memlock {
                needed: 1,
                limit: 0,
            }
            .to_string(),
            "raise it (ulimit -l)",
        ),
        (
            RegisterCause::AlreadyRegistered.to_string(),
            "unregister it first",
        ),
    ];
    for (message, remedy) in mended {
        assert!(message.contains(remedy), "{message}");
    }
}

#[test]
fn queue_full_is_free_and_would_block() {
    assert_eq!(size_of::<QueueFull>(), 0);
    assert_eq!(size_of::<Result<(), QueueFull>>(), 1);
    assert_eq!(format!("{QueueFull:?}"), "QueueFull");

    let (_cq, mut sq) = with_capacity(1).unwrap();
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 0) }.unwrap();
    // SAFETY: as above.
    let full = unsafe { sq.push(&Nop, 0) }.unwrap_err();
    assert_eq!(
        full.to_string(),
        "the submission queue is full: submit what is queued, then push again",
    );
    let converted = io::Error::from(full);
    assert_eq!(converted.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(converted.to_string(), full.to_string());
    assert_eq!(converted.raw_os_error(), None);
    assert!(
        converted
            .get_ref()
            .is_some_and(<dyn Error + Send + Sync>::is::<QueueFull>)
    );
}

#[test]
fn submit_error_keeps_errno_and_count() {
    let params = IoUring::builder().entries(4).r_disabled();
    let mut ring = params.build().unwrap();
    for user_data in 0..3 {
        // SAFETY: a NOP points to nothing.
        unsafe { ring.push(&Nop, user_data) }.unwrap();
    }
    let error = ring.submit().unwrap_err();
    assert_eq!((error.errno(), error.queued()), (libc::EBADFD, 3));
    assert_eq!(error.cause(), SubmitCause::Disabled);
    assert_eq!(
        error.to_string(),
        "could not submit to the io_uring (3 entries are still queued): the ring is disabled; \
         enable it first (errno 77)",
    );
    assert!(error.source().is_none());
    assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EBADFD));
    assert!(size_of::<SubmitError>() <= 16);
}

#[test]
fn setup_error_keeps_errno_and_can_be_printed() {
    let error = with_capacity(0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not make an io_uring: the parameters cannot work: a submission queue needs at \
         least 1 entry (errno 22)",
    );
    assert!(format!("{error:?}").contains("InvalidParams"));
    assert_eq!(error, IoUring::new(0).unwrap_err());
    let converted = io::Error::from(error);
    assert_eq!(converted.raw_os_error(), Some(libc::EINVAL));
    assert_eq!(converted.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn register_error_keeps_errno_and_can_be_printed() {
    let (_cq, mut sq) = with_capacity(1).unwrap();
    let error = sq.unregister_buffers().unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not unregister buffers: nothing of the kind is registered (errno 6)",
    );
    assert!(format!("{error:?}").contains("NotRegistered"));
    assert_eq!(error, sq.unregister_buffers().unwrap_err());
    assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::ENXIO));
}

#[test]
fn availability_here_has_features_or_a_reason() {
    match availability() {
        Availability::Available { features } => {
            assert_eq!(features, with_capacity(1).unwrap().0.features());
            assert!(availability().is_available() && availability().unavailable().is_none());
        }
        Availability::Unavailable(error) => panic!("{error}"),
    }
}
