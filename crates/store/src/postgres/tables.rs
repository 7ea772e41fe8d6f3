//! The tables of a store, as migrations: only ever added to.

use super::schema::{Migration, Shape};

/// What the store keeps.
pub(super) const STORE: Shape = Shape { name: "store", migrations: &[Migration { sql: FIRST, least_reader: 1 }] };

/// The first shape.
///
/// A session's head is its row or its last event, whichever is further: a commit that only adds events touches no row
/// that exists. `event.op` is on the first event of a batch and `event.chain` on the last; `quiet` keeps the op of a
/// batch without events. Slices under `session.frame_floor` are dead and await deletion. Content is sealed, so nothing
/// tries to compress it, and rows stay whole up to what a page holds.
///
/// The second wall: row-level security on everything that belongs to a tenant, also against the tables' owner. A
/// connection that says `mainstay.scope = all` is a lane's or a recovery's; a transaction that says
/// `mainstay.tenant = t:<name>` sees that tenant's rows; one that says nothing sees nothing. The sub-selects are
/// evaluated once for a statement.
const FIRST: &str = include_str!("tables/0001.sql");
