//! The contestants, the work that they do, and how it is measured.

pub mod contestant;
pub mod echo;
pub mod instructions;
pub mod mapped;
pub mod options;
pub mod processor;
pub mod reads;
pub mod rounds;
pub mod table;
pub mod work;
