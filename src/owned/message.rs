//! What a message has besides its bytes, as the kernel takes it.

use std::ffi::c_void;
use std::fmt;
use std::mem;
use std::slice;

/// The kernel's header of a control message: its length, a `size_t`, and two `int`.
const HEADER: usize = size_of::<usize>() + 2 * size_of::<i32>();

/// The room that a control message with so many bytes takes.
pub(super) const fn control_room(bytes: usize) -> usize {
    (HEADER + bytes).next_multiple_of(size_of::<usize>())
}

/// Control data, in words, for the alignment.
#[derive(Debug)]
pub(super) struct Control(Vec<usize>);

impl Control {
    /// Room for at least so many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self(vec![0; bytes.div_ceil(size_of::<usize>())])
    }

    /// Forgets everything, and keeps the room.
    pub(super) fn erase(&mut self) {
        self.0.fill(0);
    }

    /// Forgets everything, and the room.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a message.
    pub(super) fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let mut message = (HEADER + data.len()).to_ne_bytes().to_vec();
        message.extend(level.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(data);
        message.resize(control_room(data.len()), 0);
        let words = message.chunks_exact(size_of::<usize>());
        self.0.extend(words.map(|word| {
            let word = word.try_into().expect("as many bytes as a word has");
            usize::from_ne_bytes(word)
        }));
    }

    /// Adds the messages of another.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        let words = self.0.as_slice();
        // SAFETY: the bytes of the words, which are borrowed; every byte is initialized.
        unsafe { slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
    }

    /// Where it is, and how many bytes there are. The pointer is good until the value is used
    /// otherwise.
    fn as_raw(&mut self) -> (*mut c_void, usize) {
        let words = self.0.as_mut_slice();
        (words.as_mut_ptr().cast(), size_of_val(words))
    }
}

/// A message as the kernel takes it: a header, and where the parts of its bytes are.
pub(super) struct RawMessage {
    pub(super) header: libc::msghdr,
    pub(super) parts: Vec<libc::iovec>,
}

// SAFETY: nobody but the kernel follows the pointers, and it does so while an operation is in flight
// that owns what they point to.
unsafe impl Send for RawMessage {}

// SAFETY: as above.
unsafe impl Sync for RawMessage {}

impl RawMessage {
    pub(super) fn new() -> Self {
        Self {
            header: empty_header(),
            parts: Vec::new(),
        }
    }

    /// Writes the header anew, for parts and control data that stay where they are, and an address,
    /// or room for one, if it is not null. The pointer is good until the value is used otherwise.
    pub(super) fn compose(
        &mut self,
        parts: impl Iterator<Item = libc::iovec>,
        (address, address_len): (*mut c_void, libc::socklen_t),
        control: &mut Control,
    ) -> *mut libc::msghdr {
        self.parts.clear();
        self.parts.extend(parts);
        let (words, control_len) = control.as_raw();
        self.header = libc::msghdr {
            msg_name: address,
            msg_namelen: address_len,
            msg_iov: self.parts.as_mut_ptr(),
            msg_control: words,
            ..empty_header()
        };
        #[allow(
            clippy::useless_conversion,
            clippy::unnecessary_fallible_conversions,
            reason = "some C libraries count parts and control data in 32 bits"
        )]
        {
            self.header.msg_iovlen = self.parts.len().try_into().unwrap_or(0);
            self.header.msg_controllen = control_len.try_into().unwrap_or(0);
        }
        &raw mut self.header
    }

    /// Writes the header anew, with nothing but the room that is asked for. The pointer is good until
    /// the value is used otherwise.
    pub(super) fn ask(&mut self, address: usize, control: usize) -> *mut libc::msghdr {
        self.header = empty_header();
        self.header.msg_namelen = address.try_into().unwrap_or(0);
        #[allow(
            clippy::useless_conversion,
            clippy::unnecessary_fallible_conversions,
            reason = "some C libraries count control data in 32 bits"
        )]
        {
            self.header.msg_controllen = control.try_into().unwrap_or(0);
        }
        &raw mut self.header
    }
}

fn empty_header() -> libc::msghdr {
    // SAFETY: its fields are integers and pointers, for which 0 is a value.
    unsafe { mem::zeroed() }
}

impl fmt::Debug for RawMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawMessage(..)")
    }
}
