//! Constants by group: the tables of a `GroupNormalizer`.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::CenterScale;

/// The fitted constants of a `GroupNormalizer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GroupNorm {
    /// One row per combination of the group variables.
    PerGroup(GroupTable),
    /// One pair for all.
    Global(CenterScale),
    /// One table per group variable (`scale_by_group`): the geometric mean of their constants counts.
    ByVariable(BTreeMap<String, GroupTable>),
}

/// The constants of groups that have no row of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MissingNorm {
    /// One pair for all.
    Global(CenterScale),
    /// One pair per group variable.
    ByVariable(BTreeMap<String, CenterScale>),
}

/// Constants by group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupTable {
    /// The group variables' values of each row.
    pub index: Vec<Vec<GroupKey>>,
    /// The centre of each row.
    pub center: Vec<f64>,
    /// The scale of each row.
    pub scale: Vec<f64>,
    #[serde(skip)]
    rows: OnceLock<HashMap<Vec<GroupKey>, usize>>,
}

/// What a table knows a group by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GroupKey {
    /// The class code of an encoded variable.
    Code(i64),
    /// The label of a variable that the data set does not encode.
    Label(String),
}

impl GroupTable {
    fn find(&self, keys: &[GroupKey]) -> Option<CenterScale> {
        let to_rows = || self.index.iter().cloned().zip(0..).collect();
        let row = *self.rows.get_or_init(to_rows).get(keys)?;
        Some(CenterScale { center: *self.center.get(row)?, scale: *self.scale.get(row)? })
    }

    fn problem(&self) -> Option<String> {
        let (groups, centers, scales) = (self.index.len(), self.center.len(), self.scale.len());
        if groups != centers || groups != scales {
            return Some(format!("has {groups} groups, {centers} centers, {scales} scales"));
        }
        let mut constants = self.center.iter().zip(&self.scale);
        constants.find_map(|(&center, &scale)| CenterScale { center, scale }.problem())
    }
}

impl GroupNorm {
    /// Returns the constants of a group; none if it has no row.
    ///
    /// `keys` are the values of the group variables, in their order.
    pub(super) fn find(
        &self,
        groups: &[String],
        keys: &[GroupKey],
        missing: Option<&MissingNorm>,
    ) -> Option<CenterScale> {
        let otherwise = match missing {
            Some(MissingNorm::Global(constants)) => Some(*constants),
            _ => None,
        };
        match self {
            Self::Global(constants) => Some(*constants),
            Self::PerGroup(table) => table.find(keys).or(otherwise),
            Self::ByVariable(tables) => {
                let of_variable = |(name, key): (&String, &GroupKey)| {
                    let found = tables.get(name)?.find(std::slice::from_ref(key));
                    found.or_else(|| missing?.of_variable(name))
                };
                geometric_mean(groups.iter().zip(keys).map(of_variable))
            }
        }
    }

    /// Returns the first inconsistency, if any.
    pub(super) fn problem(&self, groups: &[String], missing: Option<&MissingNorm>) -> Option<String> {
        match self {
            Self::Global(constants) => constants.problem(),
            Self::PerGroup(table) => table.problem().or_else(|| match missing {
                Some(MissingNorm::Global(constants)) => constants.problem(),
                _ => Some("has no constants for unknown groups".to_owned()),
            }),
            Self::ByVariable(tables) => groups.iter().find_map(|name| {
                let Some(table) = tables.get(name) else { return Some(format!("has no table of `{name}`")) };
                table.problem().or_else(|| match missing.and_then(|missing| missing.of_variable(name)) {
                    Some(constants) => constants.problem(),
                    None => Some(format!("has no constants for unknown groups of `{name}`")),
                })
            }),
        }
    }
}

impl MissingNorm {
    fn of_variable(&self, name: &str) -> Option<CenterScale> {
        match self {
            Self::ByVariable(constants) => constants.get(name).copied(),
            Self::Global(_) => None,
        }
    }
}

impl PartialEq for GroupTable {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.center == other.center && self.scale == other.scale
    }
}

/// The geometric mean of constants; in single precision if they were fitted in it, as the reference does.
fn geometric_mean(constants: impl Iterator<Item = Option<CenterScale>>) -> Option<CenterScale> {
    let constants: Vec<CenterScale> = constants.collect::<Option<_>>()?;
    let mean = |part: fn(&CenterScale) -> f64| {
        let factors = constants.iter().map(part);
        if constants.iter().all(CenterScale::are_single) {
            let product: f32 = factors.map(|factor| factor as f32).product();
            return f64::from(product.powf(1.0 / constants.len() as f32));
        }
        factors.product::<f64>().powf(1.0 / constants.len() as f64)
    };
    Some(CenterScale { center: mean(|constants| constants.center), scale: mean(|constants| constants.scale) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(GroupKey, f64, f64)]) -> GroupTable {
        GroupTable {
            index: rows.iter().map(|(key, ..)| vec![key.clone()]).collect(),
            center: rows.iter().map(|row| row.1).collect(),
            scale: rows.iter().map(|row| row.2).collect(),
            rows: OnceLock::new(),
        }
    }

    #[test]
    fn groups_are_found_by_code_or_label() {
        let label = GroupKey::Label("a".into());
        let norm = GroupNorm::PerGroup(table(&[(GroupKey::Code(1), 5.0, 1.0), (label.clone(), 6.0, 2.0)]));
        let groups = ["g".to_owned()];
        assert_eq!(norm.find(&groups, &[label], None), Some(CenterScale { center: 6.0, scale: 2.0 }));
        assert_eq!(norm.find(&groups, &[GroupKey::Code(3)], None), None);
        let missing = MissingNorm::Global(CenterScale { center: 7.0, scale: 3.0 });
        let found = norm.find(&groups, &[GroupKey::Code(3)], Some(&missing));
        assert_eq!(found, Some(CenterScale { center: 7.0, scale: 3.0 }));
    }

    #[test]
    fn tables_by_variable_meet_in_their_geometric_mean() {
        let tables = [
            ("a".to_owned(), table(&[(GroupKey::Code(0), 2.0, 1.0)])),
            ("b".to_owned(), table(&[(GroupKey::Code(4), 8.0, 9.0)])),
        ];
        let norm = GroupNorm::ByVariable(tables.into());
        let groups = ["a".to_owned(), "b".to_owned()];
        let found = norm.find(&groups, &[GroupKey::Code(0), GroupKey::Code(4)], None);
        assert_eq!(found, Some(CenterScale { center: 4.0, scale: 3.0 }));
    }
}
