//! Commands for an NVMe disk, on rings of large entries and completions.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use lio_uring::kind::{CqeSize, HasLargeSqe, SqeSize, Threads};
use lio_uring::operation::{
    LargeOperation, Nop, OpCode, UringCmd, UringCmd128, UringCmdFlags, UringCmdLarge,
};
use lio_uring::{
    AnyThread, Completion, CompletionFlags, CompletionQueue, Cqe32, IoUring, IoUringParams,
    LargeSqe, Sqe128, SqeFlags, SubmissionQueue, Wait,
};

#[path = "support/device.rs"]
mod device;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[path = "support/rings.rs"]
mod rings;

use device::{BLOCK, Pages, REGION, pattern};

/// `NVME_URING_CMD_IO` and `NVME_URING_CMD_ADMIN`: the request's number, for 72 bytes of data.
const IO: u32 = 3 << 30 | 72 << 16 | (b'N' as u32) << 8 | 0x80;
const ADMIN: u32 = IO + 2;

/// A command of the disk's, as in `struct nvme_uring_cmd`.
#[derive(Clone, Copy, Debug, Default)]
struct Command {
    opcode: u8,
    namespace: u32,
    address: u64,
    len: usize,
    /// `cdw10` to `cdw12`.
    words: [u32; 3],
}

impl Command {
    const WRITE: u8 = 1;
    const READ: u8 = 2;
    const IDENTIFY: u8 = 6;

    /// Transfers the blocks that fill these bytes.
    fn blocks(opcode: u8, offset: u64, memory: *const u8, len: usize) -> Self {
        let first = u32::try_from(offset / BLOCK as u64).expect("a small disk");
        Self {
            opcode,
            namespace: 1,
            address: memory as u64,
            len,
            words: [
                first,
                0,
                u32::try_from(len / BLOCK).expect("few blocks") - 1,
            ],
        }
    }

    fn read(offset: u64, memory: &mut Pages) -> Self {
        let memory = memory.bytes_mut();
        Self::blocks(Self::READ, offset, memory.as_mut_ptr(), memory.len())
    }

    fn write(offset: u64, memory: &Pages) -> Self {
        let memory = memory.bytes();
        Self::blocks(Self::WRITE, offset, memory.as_ptr(), memory.len())
    }

    /// Asks the controller about itself.
    fn identify(memory: &mut Pages) -> Self {
        Self {
            opcode: Self::IDENTIFY,
            address: memory.bytes_mut().as_mut_ptr() as u64,
            len: memory.bytes().len(),
            words: [1, 0, 0],
            ..Self::default()
        }
    }

    fn data(&self) -> [u8; 80] {
        let mut data = [0; 80];
        let mut put = |at: usize, bytes: &[u8]| data[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[self.opcode]);
        put(4, &self.namespace.to_ne_bytes());
        put(24, &self.address.to_ne_bytes());
        let len = u32::try_from(self.len).expect("little memory");
        put(36, &len.to_ne_bytes());
        for (i, word) in self.words.iter().enumerate() {
            put(40 + 4 * i, &word.to_ne_bytes());
        }
        data
    }

    fn large(&self, file: &File, cmd_op: u32) -> UringCmdLarge {
        UringCmdLarge {
            cmd_op,
            fd: file.as_raw_fd(),
            cmd: self.data(),
        }
    }
}

/// Submits what is queued and returns its completions, `n` of them. Large ones among small ones count
/// twice for a wait, so it waits for one after the other.
#[track_caller]
fn wait<T: Threads, S: SqeSize, C: CqeSize>(
    cq: &mut CompletionQueue<T, C>,
    sq: &mut SubmissionQueue<T, S>,
    n: usize,
) -> Vec<Completion<C::Extra>> {
    let mut done = Vec::new();
    while done.len() < n {
        let wait = Wait::for_completions(1).timeout(rings::LIMIT);
        let waited = sq.submit_and_wait_with(&wait).expect("a submission");
        assert!(!waited.timed_out && waited.ready > 0, "{waited:?}");
        done.extend(cq.completions());
    }
    assert_eq!(done.len(), n);
    done
}

/// Runs a command and returns its completion.
///
/// # Safety
///
/// That of the command, until this returns.
#[track_caller]
unsafe fn run<T: Threads, S: HasLargeSqe, C: CqeSize>(
    cq: &mut CompletionQueue<T, C>,
    sq: &mut SubmissionQueue<T, S>,
    command: &impl LargeOperation,
    settings: impl FnOnce(&mut LargeSqe),
) -> Completion<C::Extra> {
    // SAFETY: the caller's promise.
    unsafe { sq.push_large_with(command, 7, settings) }.expect("room");
    let done = wait(cq, sq, 1)[0];
    assert_eq!(done.user_data(), 7);
    done
}

type Large = (
    CompletionQueue<AnyThread, Cqe32>,
    SubmissionQueue<AnyThread, Sqe128>,
);

fn params() -> IoUringParams<AnyThread, Sqe128, Cqe32> {
    IoUringParams::default().entries(8).sqe128().cqe32()
}

/// A ring of large entries and completions, if the kernel has commands and the disk is there.
#[track_caller]
fn large() -> Option<Large> {
    let there = needs::operations(&[OpCode::URING_CMD]) && device::is_there("nvme");
    there.then(|| IoUring::with_params(params()).expect("a ring"))
}

#[track_caller]
fn names_its_model(memory: &Pages) {
    let model = String::from_utf8_lossy(&memory.bytes()[24..64]);
    assert_eq!(model.trim(), "QEMU NVMe Ctrl");
}

#[test]
fn identify_names_the_model() {
    let Some((mut cq, mut sq)) = large() else {
        return;
    };
    let (_disk, controller) = device::nvme_characters();
    let mut memory = Pages::new(4096);
    let command = Command::identify(&mut memory).large(&controller, ADMIN);
    // SAFETY: the memory is the command's until its completion.
    let done = unsafe { run(&mut cq, &mut sq, &command, |_| ()) };
    assert_eq!((done.raw_result(), done.extra()), (0, [0; 2]));
    names_its_model(&memory);
}

/// Reads what was written through the block device, and the other way around.
#[track_caller]
fn transfers<T: Threads, S: SqeSize + HasLargeSqe, C: CqeSize, O: LargeOperation>(
    (cq, sq): (&mut CompletionQueue<T, C>, &mut SubmissionQueue<T, S>),
    region: u64,
    operation: impl Fn(&Command, &File) -> O,
) {
    let (generic, _controller) = device::nvme_characters();
    let disk = device::open_direct(&device::disk("nvme"));
    for (i, blocks) in [1, 8, 100].into_iter().enumerate() {
        let (len, seed) = (blocks * BLOCK, u8::try_from(i).expect("small"));
        let offset = region * REGION + 4096 * i as u64;
        Pages::write_to(&disk, offset, &pattern(seed, len));
        let mut memory = Pages::new(len);
        let read = operation(&Command::read(offset, &mut memory), &generic);
        // SAFETY: the memory is the command's until its completion.
        let done = unsafe { run(cq, sq, &read, |_| ()) };
        assert_eq!(done.raw_result(), 0, "{blocks} blocks");
        assert_eq!(memory.bytes(), pattern(seed, len));

        let memory = Pages::of(&pattern(seed + 100, len));
        let write = operation(&Command::write(offset, &memory), &generic);
        // SAFETY: as above, and the region is this test's.
        let done = unsafe { run(cq, sq, &write, |_| ()) };
        assert_eq!(done.raw_result(), 0, "{blocks} blocks");
        assert_eq!(Pages::read_from(&disk, offset, len), memory.bytes());
    }
}

#[test]
fn blocks_are_those_of_the_block_device() {
    let Some((mut cq, mut sq)) = large() else {
        return;
    };
    transfers((&mut cq, &mut sq), 0, |command, file| {
        command.large(file, IO)
    });
}

#[test]
fn blocks_are_transferred_on_a_ring_that_polls() {
    if large().is_none() {
        return;
    }
    let (mut cq, mut sq) = IoUring::with_params(params().iopoll()).unwrap();
    transfers((&mut cq, &mut sq), 1, |command, file| {
        command.large(file, IO)
    });
    // The controller's own queue is not polled, which is an error before Linux 7.1.
    let (_disk, controller) = device::nvme_characters();
    let mut memory = Pages::new(4096);
    let command = Command::identify(&mut memory).large(&controller, ADMIN);
    // SAFETY: the memory is the command's until its completion.
    let done = unsafe { run(&mut cq, &mut sq, &command, |_| ()) };
    if kernel::older_than(7, 1) {
        return assert_eq!(done.raw_result(), -libc::EOPNOTSUPP);
    }
    assert_eq!(done.raw_result(), 0);
    names_its_model(&memory);
}

#[test]
fn blocks_are_transferred_on_a_ring_for_one_thread() {
    if large().is_none() {
        return;
    }
    let (mut cq, mut sq) = IoUring::with_params(params().defer_taskrun()).unwrap();
    transfers((&mut cq, &mut sq), 2, |command, file| {
        command.large(file, IO)
    });
}

#[test]
fn blocks_are_transferred_by_large_entries_among_small_ones() {
    if !needs::operations(&[OpCode::URING_CMD128]) || !device::is_there("nvme") {
        return;
    }
    let params = IoUringParams::default().entries(8).sqe_mixed().cqe_mixed();
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    transfers((&mut cq, &mut sq), 3, |command, file| UringCmd128 {
        cmd_op: IO,
        fd: file.as_raw_fd(),
        cmd: command.data(),
    });
    let (_disk, controller) = device::nvme_characters();
    for before in 0..8 {
        let mut memory = Pages::new(4096);
        let command = UringCmd128 {
            cmd_op: ADMIN,
            fd: controller.as_raw_fd(),
            cmd: Command::identify(&mut memory).data(),
        };
        for _ in 0..before % 4 {
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push(&Nop, 1) }.unwrap();
        }
        // SAFETY: the memory is the command's until its completion.
        unsafe { sq.push_large(&command, 10) }.unwrap();
        let done = wait(&mut cq, &mut sq, before % 4 + 1);
        let command = done.iter().find(|done| done.user_data() == 10).unwrap();
        assert_eq!((command.raw_result(), command.extra()), (0, Some([0; 2])));
        assert!(command.flags().contains(CompletionFlags::LARGE));
        names_its_model(&memory);
    }
}

#[test]
fn blocks_go_through_a_registered_buffer() {
    let Some((mut cq, mut sq)) = large() else {
        return;
    };
    // Since Linux 6.1, as SENDMSG_ZC.
    if !needs::operations(&[OpCode::SENDMSG_ZC]) {
        return;
    }
    let (generic, _controller) = device::nvme_characters();
    let disk = device::open_direct(&device::disk("nvme"));
    let mut memory = Pages::new(8192);
    let buffers = [IoSliceMut::new(memory.bytes_mut())];
    // SAFETY: the memory outlives the ring's use of it.
    unsafe { sq.register_buffers(&buffers) }.unwrap();
    let offset = 4 * REGION;
    Pages::write_to(&disk, offset, &pattern(9, 8192));
    let command = Command::read(offset, &mut memory).large(&generic, IO);
    let fixed = |sqe: &mut LargeSqe| {
        sqe.entry.insert_command_flags(UringCmdFlags::FIXED);
        sqe.entry.set_buffer_index(0);
    };
    // SAFETY: the memory is the command's until its completion.
    let done = unsafe { run(&mut cq, &mut sq, &command, fixed) };
    assert_eq!(done.raw_result(), 0);
    assert_eq!(memory.bytes(), pattern(9, 8192));
    let elsewhere = Pages::new(4096);
    let command = Command::write(offset, &elsewhere).large(&generic, IO);
    // SAFETY: as above.
    let done = unsafe { run(&mut cq, &mut sq, &command, fixed) };
    assert_eq!(done.raw_result(), -libc::EFAULT, "not in the buffer");
}

#[test]
fn commands_that_the_disk_refuses_complete_with_its_status() {
    let Some((mut cq, mut sq)) = large() else {
        return;
    };
    let (generic, controller) = device::nvme_characters();
    let mut memory = Pages::new(4096);
    let mut identify = Command::identify(&mut memory);
    identify.opcode = 0x7f;
    let mut past_the_end = Command::read(0, &mut memory);
    past_the_end.words[1] = 1;
    for (command, status) in [
        // Invalid opcode, and a range that is not on the disk.
        (identify.large(&controller, ADMIN), 0x01),
        (past_the_end.large(&generic, IO), 0x80),
    ] {
        // SAFETY: the memory is the command's until its completion.
        let done = unsafe { run(&mut cq, &mut sq, &command, |_| ()) };
        // Above the status are bits on trying again.
        let result = done.result().expect("a status is no errno");
        assert_eq!(result & 0x7ff, status, "{result:#x}");
    }
    assert!(memory.bytes().iter().all(|byte| *byte == 0));
}

#[test]
fn commands_that_the_driver_refuses_complete_with_an_errno() {
    let Some((mut cq, mut sq)) = large() else {
        return;
    };
    let (generic, controller) = device::nvme_characters();
    let mut memory = Pages::new(4096);
    let command = Command::read(0, &mut memory);
    let mut wrong = command;
    wrong.namespace = 77;
    for (command, errno) in [
        (command.large(&generic, IO + 7), libc::ENOTTY),
        (wrong.large(&generic, IO), libc::EINVAL),
        // The controller's file takes no reads.
        (command.large(&controller, IO), libc::ENOTTY),
    ] {
        // SAFETY: the memory is the command's until its completion.
        let done = unsafe { run(&mut cq, &mut sq, &command, |_| ()) };
        assert_eq!(done.raw_result(), -errno, "{command:?}");
    }
}

#[test]
fn command_on_a_ring_of_small_entries_is_refused() {
    if large().is_none() {
        return;
    }
    let (generic, _controller) = device::nvme_characters();
    let (mut cq, mut sq) = lio_uring::with_capacity(8).unwrap();
    let command = UringCmd {
        cmd_op: IO,
        fd: generic.as_raw_fd(),
        cmd: [0; 16],
    };
    // SAFETY: the driver refuses the command before it looks at it.
    unsafe { sq.push(&command, 7) }.unwrap();
    let done = wait(&mut cq, &mut sq, 1)[0];
    assert_eq!(done.raw_result(), -libc::EOPNOTSUPP);
}

#[test]
fn commands_in_a_chain_run_one_after_the_other() {
    let Some((mut cq, mut sq)) = large() else {
        return;
    };
    let (generic, _controller) = device::nvme_characters();
    let (from, mut to) = (Pages::of(&pattern(3, 4096)), Pages::new(4096));
    let offset = 5 * REGION;
    let write = Command::write(offset, &from).large(&generic, IO);
    let read = Command::read(offset, &mut to).large(&generic, IO);
    let linked = |sqe: &mut LargeSqe| sqe.entry.insert_flags(SqeFlags::IO_LINK);
    // SAFETY: the memory is the commands' until their completions.
    unsafe { sq.push_large_with(&write, 1, linked) }.unwrap();
    // SAFETY: as above.
    unsafe { sq.push_large(&read, 2) }.unwrap();
    let done = wait(&mut cq, &mut sq, 2);
    let results: Vec<_> = done
        .iter()
        .map(|done| (done.user_data(), done.raw_result()))
        .collect();
    assert_eq!(results, [(1, 0), (2, 0)]);
    assert_eq!(to.bytes(), from.bytes());
}
