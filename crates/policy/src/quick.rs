//! The common shapes of conditions, answered from the question itself: no request, no entities, a flat tree that stays
//! in the cache. What is not of these shapes, or where Cedar might fail, is `None`, and Cedar answers. It never answers
//! other than Cedar does; the differential test holds it to that.

use std::sync::Arc;

use cedar_policy_core::ast::{BinaryOp, EntityType, EntityUID, Expr, ExprKind, Literal, Pattern, UnaryOp, Var};

use crate::{
    field::{Field, Plain, View},
    slice::Verb,
};

/// A condition.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Constant(bool),
    And(Box<[Test; 2]>),
    Or(Box<[Test; 2]>),
    Not(Box<Test>),
    If(Box<[Test; 3]>),
    /// The acting session or the resource is this entity.
    Is(End, Arc<EntityUID>),
    /// It is this entity or in it.
    In(End, Arc<EntityUID>),
    /// It is of this type.
    Kind(End, EntityType),
    /// The action is one of these.
    Action(Vec<Verb>),
    Has(Field),
    Equal(Operand, Operand),
    Less(Operand, Operand),
    LessEqual(Operand, Operand),
    Like(Operand, Pattern),
    OneOf(Operand, Vec<String>),
    Labelled(String),
    Flag(Operand),
    /// For Cedar.
    Unknown,
}

/// Who acts, or what it acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Principal,
    Resource,
}

/// A plain value.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Long(i64),
    Text(String),
    Bool(bool),
    Field(Field),
}

impl Test {
    /// Reads a condition; whatever is not understood is `Unknown` there, not as a whole.
    pub(crate) fn of(expr: &Expr) -> Self {
        let pair = |left, right| Box::new([Self::of(left), Self::of(right)]);
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Bool(value)) => Self::Constant(*value),
            ExprKind::And { left, right } => Self::And(pair(left, right)),
            ExprKind::Or { left, right } => Self::Or(pair(left, right)),
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => Self::Not(Box::new(Self::of(arg))),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                Self::If(Box::new([Self::of(test_expr), Self::of(then_expr), Self::of(else_expr)]))
            }
            ExprKind::Is { expr, entity_type } => {
                End::of(expr).map_or(Self::Unknown, |end| Self::Kind(end, entity_type.clone()))
            }
            ExprKind::HasAttr { expr, attr } => match expr.expr_kind() {
                ExprKind::Var(var) => Field::of(*var, attr).map_or(Self::Unknown, Self::Has),
                _ => Self::Unknown,
            },
            ExprKind::Like { expr, pattern } => {
                Operand::of(expr).map_or(Self::Unknown, |operand| Self::Like(operand, pattern.clone()))
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => Self::binary(*op, arg1, arg2).unwrap_or(Self::Unknown),
            ExprKind::GetAttr { .. } => Operand::of(expr).map_or(Self::Unknown, Self::Flag),
            _ => Self::Unknown,
        }
    }

    fn binary(op: BinaryOp, left: &Expr, right: &Expr) -> Option<Self> {
        match op {
            BinaryOp::Eq | BinaryOp::In if matches!(left.expr_kind(), ExprKind::Var(Var::Action)) => {
                Some(Self::Action(verbs(right)?))
            }
            BinaryOp::Eq | BinaryOp::In if End::of(left).is_some() => {
                let end = End::of(left)?;
                let ExprKind::Lit(Literal::EntityUID(uid)) = right.expr_kind() else { return None };
                Some(if op == BinaryOp::Eq { Self::Is(end, uid.clone()) } else { Self::In(end, uid.clone()) })
            }
            BinaryOp::Eq => Some(Self::Equal(Operand::of(left)?, Operand::of(right)?)),
            BinaryOp::Less => Some(Self::Less(Operand::of(left)?, Operand::of(right)?)),
            BinaryOp::LessEq => Some(Self::LessEqual(Operand::of(left)?, Operand::of(right)?)),
            BinaryOp::HasTag => Some(Self::Has(tag(left, right)?)),
            BinaryOp::GetTag => Some(Self::Flag(Operand::Field(tag(left, right)?))),
            BinaryOp::Contains => match (left.expr_kind(), right.expr_kind()) {
                (ExprKind::Set(items), _) => {
                    Some(Self::OneOf(Operand::of(right)?, items.iter().map(string).collect::<Option<_>>()?))
                }
                (ExprKind::GetAttr { expr, attr }, ExprKind::Lit(Literal::String(label))) => {
                    let labels = matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) && attr == "labels";
                    labels.then(|| Self::Labelled(label.to_string()))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the condition holds; `None`: Cedar must say. As in Cedar, what stands left decides first.
    pub(crate) fn holds(&self, view: &View<'_>) -> Option<bool> {
        match self {
            Self::Constant(value) => Some(*value),
            Self::And(both) => {
                if both[0].holds(view)? {
                    both[1].holds(view)
                } else {
                    Some(false)
                }
            }
            Self::Or(both) => {
                if both[0].holds(view)? {
                    Some(true)
                } else {
                    both[1].holds(view)
                }
            }
            Self::Not(test) => test.holds(view).map(|holds| !holds),
            Self::If(three) => {
                if three[0].holds(view)? {
                    three[1].holds(view)
                } else {
                    three[2].holds(view)
                }
            }
            Self::Is(end, uid) => Some(view.end(*end).0 == &**uid),
            Self::In(end, uid) => {
                let (own, above) = view.end(*end);
                Some(above.contains(uid) || own == &**uid)
            }
            Self::Kind(end, kind) => Some(view.end(*end).0.entity_type() == kind),
            Self::Action(verbs) => Some(verbs.contains(&view.verb())),
            Self::Has(field) => Some(view.has(field)),
            Self::Equal(left, right) => match (left.value(view)?, right.value(view)?) {
                (Plain::Long(left), Plain::Long(right)) => Some(left == right),
                (Plain::Text(left), Plain::Text(right)) => Some(left == right),
                (Plain::Bool(left), Plain::Bool(right)) => Some(left == right),
                _ => None,
            },
            Self::Less(left, right) => longs(view, left, right).map(|(left, right)| left < right),
            Self::LessEqual(left, right) => longs(view, left, right).map(|(left, right)| left <= right),
            Self::Like(operand, pattern) => operand.text(view).map(|text| pattern.wildcard_match(text)),
            Self::OneOf(operand, texts) => operand.text(view).map(|text| texts.iter().any(|one| one == text)),
            Self::Labelled(label) => Some(view.labelled(label)),
            Self::Flag(operand) => match operand.value(view)? {
                Plain::Bool(flag) => Some(flag),
                _ => None,
            },
            Self::Unknown => None,
        }
    }
}

impl End {
    fn of(expr: &Expr) -> Option<Self> {
        match expr.expr_kind() {
            ExprKind::Var(Var::Principal) => Some(Self::Principal),
            ExprKind::Var(Var::Resource) => Some(Self::Resource),
            _ => None,
        }
    }
}

impl Operand {
    fn of(expr: &Expr) -> Option<Self> {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Long(value)) => Some(Self::Long(*value)),
            ExprKind::Lit(Literal::String(value)) => Some(Self::Text(value.to_string())),
            ExprKind::Lit(Literal::Bool(value)) => Some(Self::Bool(*value)),
            ExprKind::GetAttr { expr, attr } => match expr.expr_kind() {
                ExprKind::Var(var) => Field::of(*var, attr).map(Self::Field),
                _ => None,
            },
            ExprKind::BinaryApp { op: BinaryOp::GetTag, arg1, arg2 } => tag(arg1, arg2).map(Self::Field),
            _ => None,
        }
    }

    fn value<'a>(&'a self, view: &'a View<'_>) -> Option<Plain<'a>> {
        match self {
            Self::Long(value) => Some(Plain::Long(*value)),
            Self::Text(value) => Some(Plain::Text(value)),
            Self::Bool(value) => Some(Plain::Bool(*value)),
            Self::Field(field) => view.value(field),
        }
    }

    fn text<'a>(&'a self, view: &'a View<'_>) -> Option<&'a str> {
        match self.value(view)? {
            Plain::Text(text) => Some(text),
            _ => None,
        }
    }
}

fn longs(view: &View<'_>, left: &Operand, right: &Operand) -> Option<(i64, i64)> {
    match (left.value(view)?, right.value(view)?) {
        (Plain::Long(left), Plain::Long(right)) => Some((left, right)),
        _ => None,
    }
}

fn string(expr: &Expr) -> Option<String> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

fn verbs(expr: &Expr) -> Option<Vec<Verb>> {
    let verb = |expr: &Expr| match expr.expr_kind() {
        ExprKind::Lit(Literal::EntityUID(uid)) => {
            let name: &str = uid.eid().as_ref();
            Verb::ALL.into_iter().find(|verb| verb.as_str() == name)
        }
        _ => None,
    };
    match expr.expr_kind() {
        ExprKind::Set(items) => items.iter().map(verb).collect(),
        _ => Some(vec![verb(expr)?]),
    }
}

/// `context.arguments.number.getTag("path")` and its like.
fn tag(owner: &Expr, path: &Expr) -> Option<Field> {
    let ExprKind::GetAttr { expr, attr } = owner.expr_kind() else { return None };
    let path = string(path)?;
    match expr.expr_kind() {
        ExprKind::Var(Var::Context) if attr == "calls" => Some(Field::CallsOf(path)),
        ExprKind::GetAttr { expr, attr: outer } if outer == "arguments" => {
            matches!(expr.expr_kind(), ExprKind::Var(Var::Context)).then_some(())?;
            match attr.as_str() {
                "text" => Some(Field::ArgumentText(path)),
                "number" => Some(Field::ArgumentNumber(path)),
                "micro" => Some(Field::ArgumentMicro(path)),
                "flag" => Some(Field::ArgumentFlag(path)),
                "size" => Some(Field::ArgumentSize(path)),
                _ => None,
            }
        }
        _ => None,
    }
}
