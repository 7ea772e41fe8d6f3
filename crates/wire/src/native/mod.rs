//! The native wire, `/mainstay/v1`: what no vendor's API has. Sessions with their cost and cursor in `session`, the
//! journal in `journal`, forks in `fork`, what people are asked in `approval`. All pure. Times are milliseconds, money is pico-dollars.

pub mod approval;
pub mod fork;
pub mod journal;
pub mod session;

pub use fork::Fork;
