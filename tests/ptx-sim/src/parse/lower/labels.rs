//! Labels, each visible in the scope it stands in and in those inside it.

use crate::ParseError;
use crate::parse::ast::Statement;
use std::collections::HashMap;

/// Where labels point, by scope number (in the order in which scopes open) and name.
#[derive(Debug, Default)]
pub struct Labels {
    targets: HashMap<(usize, String), u32>,
    tables: HashMap<(usize, String), Vec<String>>,
}

impl Labels {
    pub fn collect(body: &[Statement]) -> Result<Self, ParseError> {
        let mut labels = Self::default();
        let (mut opened, mut open, mut index) = (0, vec![0], 0);
        for statement in body {
            let scope = open.last().copied().unwrap_or_default();
            match statement {
                Statement::Open => {
                    opened += 1;
                    open.push(opened);
                }
                Statement::Close => {
                    open.pop();
                }
                Statement::Instruction(_) => index += 1,
                Statement::Label { line, name } if labels.targets.insert((scope, name.clone()), index).is_some() => {
                    return Err(ParseError::new(*line, format!("label {name} is there twice")));
                }
                Statement::BranchTargets { name, targets, .. } => {
                    labels.tables.insert((scope, name.clone()), targets.clone());
                }
                _ => {}
            }
        }
        Ok(labels)
    }

    /// The instruction that a label stands before, seen from within `open_scopes`.
    pub fn target(&self, name: &str, open_scopes: &[usize]) -> Option<u32> {
        open_scopes.iter().rev().find_map(|&scope| self.targets.get(&(scope, name.to_owned())).copied())
    }

    /// The labels of a `.branchtargets` table.
    pub fn table(&self, name: &str, open_scopes: &[usize]) -> Option<&[String]> {
        open_scopes.iter().rev().find_map(|&scope| self.tables.get(&(scope, name.to_owned())).map(Vec::as_slice))
    }
}
