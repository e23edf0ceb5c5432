//! What a probe says of the running kernel.
#![cfg(target_os = "linux")]

use lio_uring::operation::{LargeOperation, Nop128, OpCode, Operation, RecvMulti};
use lio_uring::{IoUring, IoUringParams, Missing, MissingCause, Probe, Sqe};

#[path = "../examples/doctor/families.rs"]
mod families;
#[path = "support/kernel.rs"]
mod kernel;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;

use families::FAMILIES;

#[test]
fn no_operation_is_missing_that_the_kernel_is_new_enough_for() {
    let probe = Probe::new().unwrap();
    let rows = FAMILIES
        .iter()
        .flat_map(|family| family.operations.iter().map(move |row| (family.name, row)));
    for (family, row) in rows {
        println!("{family}: {}", row.name);
        let since = row.needs.since().expect("a release");
        let (major, minor) = since.split_once('.').expect("a release");
        let came: (u32, u32) = (major.parse().unwrap(), minor.parse().unwrap());
        let older = kernel::older_than(came.0, came.1);
        match probe.meets(&row.needs) {
            // Linux 5.10 took over io_uring of 5.15.
            Ok(()) => assert!(!older || came <= (5, 15), "{}", row.name),
            Err(missing) => {
                let unknown = matches!(missing.cause(), MissingCause::Unknown { .. });
                assert!(older || unknown, "{}: {missing}", row.name);
            }
        }
    }
}

#[test]
fn two_probes_of_one_kernel_are_equal() {
    let probe = Probe::new().unwrap();
    each_ring!(|_cq, sq| {
        assert_eq!(sq.probe().unwrap(), probe);
        assert_eq!(probe.features(), sq.features());
    });
    let shown = format!("{probe:?}");
    assert!(
        shown.contains("READ_FIXED") && shown.contains("NODROP"),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("shown: {:?}", probe.shown())),
        "{shown}"
    );
}

/// An operation with a code that no kernel has, and of which nothing but the code is said.
struct Strange;

impl Operation for Strange {
    const OPCODE: OpCode = OpCode(u8::MAX);

    fn prepare(&self, _sqe: &mut Sqe) {}
}

#[test]
fn what_is_missing_is_said_for_people() {
    let missing: Missing = Probe::new().unwrap().check::<Strange>().unwrap_err();
    let code = OpCode(u8::MAX);
    assert_eq!(missing.cause(), MissingCause::Operation { code });
    assert_eq!((missing.since(), missing.instead()), (None, None));
    assert_eq!(
        missing.to_string(),
        "Strange cannot be used: the kernel has no OpCode(255)"
    );
    // A reference is the operation that it refers to.
    let referred = Probe::new().unwrap().check::<&&Strange>();
    assert_eq!(referred, Err(missing));
    if let Err(missing) = Probe::new().unwrap().check::<RecvMulti>() {
        let said = missing.to_string();
        assert!(
            said.starts_with("RecvMulti needs Linux 6.0: the kernel has "),
            "{said}"
        );
        assert!(said.ends_with("; use Recv"), "{said}");
    }
}

#[test]
fn large_operations_are_there_if_the_kernel_runs_them() {
    let probe = Probe::new().unwrap();
    let answer = probe.meets(&Nop128::NEEDS);
    let params = IoUringParams::default().entries(8).sqe128();
    let Some((mut cq, mut sq)) = kernel::since(5, 19, IoUring::with_params(params)) else {
        assert!(answer.is_err());
        return;
    };
    assert_eq!(Nop128::NEEDS.missing_flags(sq.setup_flags()), None);
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push_large(&Nop128, 1) }.unwrap();
    sq.submit().unwrap();
    assert_eq!(cq.next().unwrap().result().is_ok(), answer.is_ok());
}
