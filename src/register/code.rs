//! The codes of all registrations.

use std::fmt;

use crate::sys;

/// The code of a registration.
///
/// All that liburing 2.15 knows are constants of this type; a later kernel's are reachable as
/// `RegisterCode(number)`.
///
/// C: `enum io_uring_register_op`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterCode(pub u8);

/// Defines the constants and the list of them all from one table.
macro_rules! codes {
    ($($name:ident = $c:ident, $since:literal, $does:literal;)+) => {
        #[expect(clippy::cast_possible_truncation, reason = "a restriction has 8 bits for the code")]
        impl RegisterCode {
            $(
                #[doc = concat!($does, ".\n\nSince Linux ", $since, ". C: `", stringify!($c), "`.")]
                pub const $name: Self = Self(sys::$c as u8);
            )+

            /// Every code that liburing 2.15 knows, in numerical order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The C name without its prefix `IORING_`, or `None` for a code that liburing 2.15
            /// does not know.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)+
                    _ => None,
                }
            }

            /// The first kernel that has the registration, as text: `"5.1"`.
            ///
            /// For people to read: distributions bring features to old kernels.
            pub const fn since(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($since),)+
                    _ => None,
                }
            }
        }
    };
}

codes! {
    REGISTER_BUFFERS = IORING_REGISTER_BUFFERS, "5.1", "Registers buffers";
    UNREGISTER_BUFFERS = IORING_UNREGISTER_BUFFERS, "5.1", "Takes buffers back";
    REGISTER_FILES = IORING_REGISTER_FILES, "5.1", "Registers files";
    UNREGISTER_FILES = IORING_UNREGISTER_FILES, "5.1", "Takes files back";
    REGISTER_EVENTFD = IORING_REGISTER_EVENTFD, "5.2", "Has an eventfd signalled";
    UNREGISTER_EVENTFD = IORING_UNREGISTER_EVENTFD, "5.2", "Takes the eventfd back";
    REGISTER_FILES_UPDATE = IORING_REGISTER_FILES_UPDATE, "5.5", "Replaces files";
    REGISTER_EVENTFD_ASYNC = IORING_REGISTER_EVENTFD_ASYNC, "5.6",
        "Has an eventfd signalled for what did not complete at once";
    REGISTER_PROBE = IORING_REGISTER_PROBE, "5.6", "Asks which operations there are";
    REGISTER_PERSONALITY = IORING_REGISTER_PERSONALITY, "5.6", "Registers credentials";
    UNREGISTER_PERSONALITY = IORING_UNREGISTER_PERSONALITY, "5.6", "Takes credentials back";
    REGISTER_RESTRICTIONS = IORING_REGISTER_RESTRICTIONS, "5.10", "Restricts a ring";
    REGISTER_ENABLE_RINGS = IORING_REGISTER_ENABLE_RINGS, "5.10", "Enables a ring";
    REGISTER_FILES2 = IORING_REGISTER_FILES2, "5.13", "Registers files with tags, or a table";
    REGISTER_FILES_UPDATE2 = IORING_REGISTER_FILES_UPDATE2, "5.13", "Replaces files with tags";
    REGISTER_BUFFERS2 = IORING_REGISTER_BUFFERS2, "5.13", "Registers buffers with tags, or a table";
    REGISTER_BUFFERS_UPDATE = IORING_REGISTER_BUFFERS_UPDATE, "5.13", "Replaces buffers";
    REGISTER_IOWQ_AFF = IORING_REGISTER_IOWQ_AFF, "5.14", "Binds the workers to processors";
    UNREGISTER_IOWQ_AFF = IORING_UNREGISTER_IOWQ_AFF, "5.14", "Unbinds the workers";
    REGISTER_IOWQ_MAX_WORKERS = IORING_REGISTER_IOWQ_MAX_WORKERS, "5.15",
        "Limits the number of workers";
    REGISTER_RING_FDS = IORING_REGISTER_RING_FDS, "5.18", "Registers rings with a thread";
    UNREGISTER_RING_FDS = IORING_UNREGISTER_RING_FDS, "5.18", "Takes rings back from a thread";
    REGISTER_PBUF_RING = IORING_REGISTER_PBUF_RING, "5.19", "Registers a ring of buffers";
    UNREGISTER_PBUF_RING = IORING_UNREGISTER_PBUF_RING, "5.19", "Takes a ring of buffers back";
    REGISTER_SYNC_CANCEL = IORING_REGISTER_SYNC_CANCEL, "6.0", "Cancels operations";
    REGISTER_FILE_ALLOC_RANGE = IORING_REGISTER_FILE_ALLOC_RANGE, "6.0",
        "Sets the range of places for files to pick from";
    REGISTER_PBUF_STATUS = IORING_REGISTER_PBUF_STATUS, "6.8", "Looks at a ring of buffers";
    REGISTER_NAPI = IORING_REGISTER_NAPI, "6.9", "Sets busy polling";
    UNREGISTER_NAPI = IORING_UNREGISTER_NAPI, "6.9", "Ends busy polling";
    REGISTER_CLOCK = IORING_REGISTER_CLOCK, "6.12", "Chooses the clock of waits";
    REGISTER_CLONE_BUFFERS = IORING_REGISTER_CLONE_BUFFERS, "6.12",
        "Registers another ring's buffers";
    REGISTER_SEND_MSG_RING = IORING_REGISTER_SEND_MSG_RING, "6.13",
        "Sends a message to a ring";
    REGISTER_ZCRX_IFQ = IORING_REGISTER_ZCRX_IFQ, "6.15", "Registers a queue of a network device";
    REGISTER_RESIZE_RINGS = IORING_REGISTER_RESIZE_RINGS, "6.13", "Resizes the queues";
    REGISTER_MEM_REGION = IORING_REGISTER_MEM_REGION, "6.13", "Registers a region of memory";
    REGISTER_QUERY = IORING_REGISTER_QUERY, "6.18", "Asks what the kernel knows";
    REGISTER_ZCRX_CTRL = IORING_REGISTER_ZCRX_CTRL, "6.19",
        "Controls a queue of a network device";
    REGISTER_BPF_FILTER = IORING_REGISTER_BPF_FILTER, "7.0", "Registers a filter of operations";
}

const _: () = assert!(
    RegisterCode::ALL.len() == sys::IORING_REGISTER_LAST as usize,
    "liburing has other registrations than this crate: add each new one to the table in \
     src/register/code.rs, and what it does to a file of src/register"
);

impl fmt::Debug for RegisterCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "RegisterCode({})", self.0),
        }
    }
}

impl fmt::Display for RegisterCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
