//! The contestants, the work that they do, and how it is measured.

pub mod contestant;
pub mod instructions;
pub mod table;
pub mod work;
