//! What names mean, scope by scope.

use std::collections::HashMap;

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Symbol {
    Register {
        index: u32,
        bits: u32,
    },
    Predicate(u32),
    /// A variable whose address within its state space is known.
    Address(u64),
    /// A global variable, placed when the module is first launched.
    Global(u32),
}

/// The scopes that are open, outermost first.
#[derive(Debug, Default)]
pub struct Names {
    scopes: Vec<HashMap<String, Symbol>>,
    pub num_registers: u32,
    pub num_predicates: u32,
}

impl Names {
    pub fn open(&mut self) {
        self.scopes.push(HashMap::new());
    }

    pub fn close(&mut self) {
        self.scopes.pop();
    }

    /// False if the innermost scope has the name.
    pub fn declare(&mut self, name: &str, symbol: Symbol) -> bool {
        if self.scopes.is_empty() {
            self.open();
        }
        self.scopes.last_mut().is_some_and(|scope| scope.insert(name.to_owned(), symbol).is_none())
    }

    pub fn declare_register(&mut self, name: &str, bits: u32) -> bool {
        let symbol = if bits == 1 {
            self.num_predicates += 1;
            Symbol::Predicate(self.num_predicates - 1)
        } else {
            self.num_registers += 1;
            Symbol::Register { index: self.num_registers - 1, bits }
        };
        self.declare(name, symbol)
    }

    pub fn find(&self, name: &str) -> Option<&Symbol> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }
}
