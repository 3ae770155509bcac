//! Look-up tables that cannot be read, and lines in them that make no sense.

use config::param::{Kind, TABLE};

use super::{Fault, Patient};

/// What is wrong in each table.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let problems = TABLE.iter().flat_map(|row| match row.kind {
        Kind::Tables => patient.config.tables(row.name).problems(),
        Kind::Names => patient.config.names(row.name).tables().problems(),
        _ => Vec::new(),
    });
    let mut found: Vec<Fault> = problems.filter(may_be_told).map(|problem| fault(patient, &problem)).collect();
    found.dedup();
    found
}

/// As root one sees all; others may not be allowed to look where the programs may.
fn may_be_told(problem: &tables::Problem) -> bool {
    let hidden = std::fs::File::open(&problem.file).is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
    nix::unistd::geteuid().is_root() || !hidden
}

fn fault(patient: &Patient, problem: &tables::Problem) -> Fault {
    let file = problem.file.display();
    match problem.line {
        0 => Fault::new(format!("Mail that needs a table has to wait: {problem}."), format!("ls -l {file}")),
        line => {
            let sentence = format!("A line of a table has no effect: {problem}.");
            Fault::new(sentence, format!("editor +{line} {file} && {}", patient.facteur("check")))
        }
    }
}
