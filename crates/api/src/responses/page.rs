//! Lists of items, by the parameters of a query.

use std::sync::Arc;

use mainstay_vocabulary::{Item, ItemId};
use mainstay_wire::responses::{
    command::shape,
    item::Shape,
    page::{DEFAULT_LIMIT, MAX_LIMIT, Page, list_json},
    served,
};

use crate::{error::Error, json::Json, query::Query};

/// How items are shown.
pub(crate) fn shape_of(query: &Query) -> Result<Shape, Error> {
    Ok(shape(query.all("include"), query.flag("include_obfuscation", false)?)?)
}

/// Which part of a list is wanted. The newest come first where the client does not say.
pub(crate) fn page_of(query: &Query) -> Result<Page, Error> {
    let limit = query.number("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT)?;
    let after = query.get("after").map(|id| id.parse().map_err(|_| no_such_after())).transpose()?;
    let ascending = match query.get("order") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(Error::invalid("'order' must be asc or desc.").with_param("order")),
    };
    Ok(Page { after, limit: usize::try_from(limit).unwrap_or(usize::MAX), ascending })
}

/// That part of `items`, which stand oldest first.
pub(crate) fn page_json(items: &[(ItemId, Arc<Item>)], page: Page, shape: Shape) -> Result<Json, Error> {
    let shown = served::without_results(items);
    let found = page.cut(&shown).ok_or_else(no_such_after)?;
    let mut list = list_json(found.into_iter().map(|(id, item)| (*id, item)), page.limit, shape);
    served::settle(&mut list, items);
    Ok(Json(list))
}

fn no_such_after() -> Error {
    Error::invalid("'after' names no item of this list.").with_param("after")
}
