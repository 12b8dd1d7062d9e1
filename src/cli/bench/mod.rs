//! `lowbit bench`: the library's measurements as a table, as JSON lines and as plots.

mod args;
mod axis;
mod json;
mod machine;
mod svg;
mod table;

use std::io;
use std::io::Write;

pub use args::BenchArgs;

use super::Failure;
use super::progress::Bar;
use crate::bench;
use crate::bench::Ceilings;
use crate::bench::Event;
use crate::bench::Row;
use crate::bench::Settings;
use crate::device::Device;
use machine::Machine;
use svg::Plots;

/// `lowbit bench`.
pub fn bench(args: &BenchArgs, json: bool) -> Result<(), Failure> {
    let device = open_device(args)?;
    let settings = args.settings(&device)?;
    let plots = args.svg.as_deref().map(|path| Plots::plan(path, &settings.shapes, args.force)).transpose()?;
    let machine = Machine::of(&device);
    let mut report =
        Report { json, machine, settings: &settings, ceilings: None, rows: Vec::new(), bar: Bar::of_steps() };
    bench::run(&settings, &device, &mut |event| report.on(&event))?;
    report.end_shape()?;
    let Report { rows, machine, bar, .. } = report;
    drop(bar);
    for path in plots.map(|plots| plots.draw(&rows, &machine)).transpose()?.unwrap_or_default() {
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

/// The device asked for; else the first GPU, else the CPU, which is said.
fn open_device(args: &BenchArgs) -> Result<Device, Failure> {
    if let Some(device) = args.device {
        return Ok(device.open()?);
    }
    let device = Device::best()?;
    if let (Device::Cpu(_), Err(why)) = (&device, Device::cuda(0)) {
        eprintln!("no GPU to measure on ({why}); measuring the CPU");
    }
    Ok(device)
}

/// What has been measured, printed as it comes: JSON line by line, text shape by shape.
struct Report<'a> {
    json: bool,
    machine: Machine,
    settings: &'a Settings,
    ceilings: Option<Ceilings>,
    rows: Vec<Row>,
    bar: Bar,
}

impl Report<'_> {
    fn on(&mut self, event: &Event<'_>) -> Result<(), Failure> {
        match event {
            Event::Ceilings(ceilings) => {
                self.ceilings = Some((*ceilings).clone());
                if !self.json {
                    let text = table::heading(&self.machine, self.settings, ceilings);
                    self.bar.suspend(|| print(&text))?;
                }
            }
            Event::Next { done, total, shape, m } => {
                if self.rows.last().is_some_and(|row| row.shape != **shape) {
                    self.end_shape()?;
                }
                let (n, k) = (shape.shape.n(), shape.shape.k());
                self.bar.step(*done as u64, *total as u64, format!("{n}x{k}, batch {m}"));
            }
            Event::Missing { shape, m, format, strategy, error } => {
                // That a format has no gemv at this batch is no news unless it was asked for by name.
                if self.settings.strategies.len() == 1 {
                    let shape = shape.shape;
                    let text = format!("{}x{} batch {m}: no {strategy} of {format}: {error}", shape.n(), shape.k());
                    self.bar.suspend(|| eprintln!("{text}"));
                }
            }
            Event::Row(row) => {
                if self.json {
                    let ceilings = self.ceilings.as_ref().expect("ceilings come first");
                    let line = json::row(&self.machine, ceilings, row);
                    self.bar.suspend(|| print(&line.to_string()))?;
                }
                self.rows.push((*row).clone());
            }
        }
        Ok(())
    }

    /// Prints the table of the last shape.
    fn end_shape(&self) -> Result<(), Failure> {
        let Some(last) = self.rows.last() else { return Ok(()) };
        if !self.json {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.shape == last.shape).collect();
            let text = table::shape(&rows);
            self.bar.suspend(|| print(&text))?;
        }
        Ok(())
    }
}

/// One write and a flush, so that each result is there as soon as it is measured.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
