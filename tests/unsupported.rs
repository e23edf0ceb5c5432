//! The library as it is on systems other than Linux, compiled here: it answers that there is no
//! io_uring.

use std::error::Error;
use std::io;

use unsupported::{Availability, SetupCause, SetupError, availability};

#[path = "../src/unsupported.rs"]
pub mod unsupported;

const MESSAGE: &str = "could not make an io_uring: io_uring is a feature of Linux; use another way \
                       of doing I/O here";

#[test]
fn availability_elsewhere_names_the_system() {
    let availability = availability();
    assert!(!availability.is_available());
    let error = availability.unavailable().expect("there is a reason");
    assert_eq!(*error.cause(), SetupCause::UnsupportedOs);
    assert_eq!(error.to_string(), MESSAGE);
    assert_eq!(
        error.cause().to_string(),
        MESSAGE.split_once(": ").unwrap().1
    );
    let Availability::Unavailable(same) = availability.clone();
    assert_eq!(same, *error);
}

#[test]
fn error_elsewhere_becomes_an_unsupported_io_error() {
    let Availability::Unavailable(error) = availability();
    let converted = io::Error::from(error.clone());
    assert_eq!(converted.kind(), io::ErrorKind::Unsupported);
    assert_eq!(converted.to_string(), MESSAGE);
    assert_eq!(converted.raw_os_error(), None);
    let inner = converted
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<SetupError>());
    assert_eq!(inner, Some(&error));
}

#[test]
fn types_elsewhere_can_be_passed_on() {
    fn is_error<E: Error + Send + Sync + Clone + 'static>() {}
    fn can_be_sent<T: Send + Sync + Clone + 'static>() {}
    is_error::<SetupError>();
    is_error::<SetupCause>();
    can_be_sent::<Availability>();
    assert!(format!("{:?}", availability()).contains("UnsupportedOs"));
}
