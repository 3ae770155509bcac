//! Lists of names, such as domains, in which an item may be a table: then its keys are the names.

use crate::{Found, Problem, Secrecy, Table, Tables, Trouble, spec};

/// Names written in a parameter, and tables of names.
#[derive(Debug, Default)]
pub struct Names {
    written: Vec<String>,
    tables: Tables,
}

/// Where a name was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// In the parameter itself.
    Written,
    /// In a table.
    In(Found),
}

impl Names {
    /// The names a parameter lists. No file is read yet.
    ///
    /// # Errors
    /// A kind of table that does not exist here, or braces that do not match.
    pub fn open(list: &str) -> Result<Self, Problem> {
        let wrong = |text| Problem { file: list.trim().into(), line: 0, text };
        let (written, specs) = spec::parse_names(list).map_err(wrong)?;
        let tables: Result<Vec<_>, _> = specs.into_iter().map(|spec| Table::of(spec, Secrecy::None)).collect();
        Ok(Self { written, tables: Tables(tables.map_err(wrong)?) })
    }

    /// Nothing is listed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.written.is_empty() && self.tables.is_empty()
    }

    /// Where the name is listed, if it is.
    ///
    /// # Errors
    /// A table cannot be used.
    pub fn find(&self, name: &str) -> Result<Option<Listed>, Trouble> {
        if self.written.iter().any(|written| written.eq_ignore_ascii_case(name)) {
            return Ok(Some(Listed::Written));
        }
        Ok(self.tables.lookup(name)?.map(Listed::In))
    }

    /// The tables among the items.
    #[must_use]
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Whether a parameter lists names as it should; the phrase says what is wrong.
    ///
    /// # Errors
    /// A kind of table that does not exist here, or braces that do not match.
    pub fn check(list: &str) -> Result<(), String> {
        spec::parse_names(list).map(drop)
    }
}
