//! Table tests of deciding.
