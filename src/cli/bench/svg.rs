//! A plot per shape: speed-up over dense against batch size, a line per format and strategy.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use plotters::coord::CoordTranslate;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use plotters::style::text_anchor::Pos;
use plotters::style::text_anchor::VPos;

use super::axis::Batches;
use super::machine::Machine;
use crate::bench::How;
use crate::bench::LayerShape;
use crate::bench::Row;
use crate::cli::Failure;
use crate::error::Error;
use crate::error::Result;
use crate::strategy::Strategy;

const SIZE: (u32, u32) = (1000, 560);
/// The part at the right that is the legend's, so that it covers no line.
const LEGEND_WIDTH: u32 = 270;
const LEGEND_LINE: i32 = 24;
const FONT: &str = "sans-serif";

/// Okabe and Ito's colours, which colour-blind people tell apart; yellow left out, which is pale on white.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

/// Files to be drawn, known to be free before anything is measured.
pub struct Plots(Vec<(LayerShape, PathBuf)>);

impl Plots {
    /// One file for each shape: `path` itself, when it ends in .svg and there is one shape; else `NxK.svg` in it.
    pub fn plan(path: &Path, shapes: &[LayerShape], force: bool) -> Result<Self, Failure> {
        let is_file = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
        if is_file && shapes.len() > 1 {
            let count = shapes.len();
            let message = format!("--svg {}: there are {count} shapes, a plot for each: name a folder", path.display());
            return Err(Failure::Usage(message));
        }
        let file = |shape: &LayerShape| match is_file {
            true => path.to_path_buf(),
            false => path.join(format!("{}x{}.svg", shape.shape.n(), shape.shape.k())),
        };
        let files: Vec<(LayerShape, PathBuf)> = shapes.iter().map(|shape| (shape.clone(), file(shape))).collect();
        if let Some((_, taken)) = files.iter().find(|(_, file)| !force && file.exists()) {
            return Err(Error::OutputExists { path: taken.display().to_string() }.into());
        }
        let folder = if is_file { path.parent().unwrap_or(Path::new("")) } else { path };
        if !folder.as_os_str().is_empty() {
            fs::create_dir_all(folder).map_err(|e| Error::io(folder, "create", e))?;
        }
        Ok(Self(files))
    }

    /// Writes them; their paths.
    pub fn draw(self, rows: &[Row], machine: &Machine) -> Result<Vec<PathBuf>> {
        self.0
            .into_iter()
            .map(|(shape, path)| {
                let rows: Vec<&Row> = rows.iter().filter(|row| row.shape == shape).collect();
                fs::write(&path, plot(&rows, machine)).map_err(|e| Error::io(&path, "write", e))?;
                Ok(path)
            })
            .collect()
    }
}

/// One line of a plot.
struct Series {
    format: String,
    strategy: String,
    /// M and speed-up.
    points: Vec<(usize, f64)>,
    colour: RGBColor,
    marker: Marker,
}

/// Tells strategies apart, as colours do formats.
#[derive(Clone, Copy)]
enum Marker {
    Circle,
    Triangle,
    Cross,
}

/// The series in the order in which their first rows were measured. `auto` is a strategy that has a line already, unless it
/// was measured alone.
fn series(rows: &[&Row]) -> Vec<Series> {
    let only_auto = !rows.iter().any(|row| matches!(row.how, How::Strategy(_)));
    let mut formats: Vec<&str> = Vec::new();
    let mut all: Vec<Series> = Vec::new();
    for row in rows {
        let marker = match row.how {
            How::Strategy(Strategy::Gemv) => Marker::Triangle,
            How::Strategy(Strategy::DequantizeThenMultiply) => Marker::Cross,
            How::Strategy(_) => Marker::Circle,
            How::Auto(_) if only_auto => Marker::Circle,
            How::Auto(_) | How::Dense(_) => continue,
        };
        let Some(speedup) = row.speedup_over_dense else { continue };
        let point = (row.m, speedup);
        let (format, strategy) = (row.format.as_str(), row.how.name());
        if !formats.contains(&format) {
            formats.push(format);
        }
        match all.iter_mut().find(|one| one.format == format && one.strategy == strategy) {
            Some(one) => one.points.push(point),
            None => {
                let colour = formats.iter().position(|known| *known == format).unwrap_or(0) % COLOURS.len();
                let (format, colour) = (format.to_string(), COLOURS[colour]);
                all.push(Series { format, strategy, points: vec![point], colour, marker });
            }
        }
    }
    all.iter_mut().for_each(|one| one.points.sort_by_key(|point| point.0));
    all
}

/// The picture as text.
fn plot(rows: &[&Row], machine: &Machine) -> String {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
    let drawn = draw(&area, rows, machine).and_then(|()| area.present());
    // Only files can fail.
    drawn.expect("drawing into a string");
    drop(area);
    text
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw(area: &Area<'_>, rows: &[&Row], machine: &Machine) -> Drawn {
    area.fill(&WHITE)?;
    let series = series(rows);
    let (title, rest) = area.split_vertically(64);
    headline(&title, rows, machine)?;
    let (left, right) = rest.split_horizontally(SIZE.0 - LEGEND_WIDTH);
    legend(&right, &series)?;

    let batches = Batches::new(rows.iter().map(|row| row.m));
    let ([first, last], num_ticks) = (batches.ends(), batches.count());
    let top = series.iter().flat_map(|one| &one.points).fold(1.0, |top: f64, point| top.max(point.1));
    let mut chart = ChartBuilder::on(&left)
        .margin(10)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(batches, 0.0..top * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(num_ticks)
        .x_desc("batch size M (rows of activations)")
        .y_desc("speed-up over dense")
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 17))
        .draw()?;
    chart.draw_series([PathElement::new([(first, 1.0), (last, 1.0)], BLACK.stroke_width(2))])?;
    for one in &series {
        chart.draw_series([PathElement::new(one.points.clone(), one.colour.stroke_width(3))])?;
        for &point in &one.points {
            draw_marker(chart.plotting_area(), one, point)?;
        }
    }
    Ok(())
}

fn headline(area: &Area<'_>, rows: &[&Row], machine: &Machine) -> Drawn {
    let Some(first) = rows.first() else { return Ok(()) };
    let (shape, middle) = (first.shape.shape, (SIZE.0 / 2) as i32);
    let layers = match first.shape.layers.join(", ") {
        layers if layers.is_empty() => layers,
        layers => format!(" ({layers})"),
    };
    let title = format!("N = {} x K = {}{layers}", shape.n(), shape.k());
    let dense = rows.iter().find(|row| matches!(row.how, How::Dense(_)));
    let dense =
        dense.map_or(String::new(), |row| format!("; dense: {} {}", row.how.chosen().unwrap_or_default(), row.format));
    let host = if machine.driver.is_none() { format!(", {}", machine.cpu) } else { String::new() };
    let dtype = rows.iter().find(|row| !matches!(row.how, How::Dense(_))).map_or(first.dtype, |row| row.dtype);
    let subtitle = format!("{}{host}; x {dtype}{dense}", machine.device);
    let centred = |size: i32| TextStyle::from((FONT, size).into_font()).pos(Pos::new(HPos::Center, VPos::Top));
    area.draw(&Text::new(title, (middle, 12), centred(22)))?;
    area.draw(&Text::new(subtitle, (middle, 40), centred(15).color(&BLACK.mix(0.7))))
}

fn legend(area: &Area<'_>, series: &[Series]) -> Drawn {
    let style = || TextStyle::from((FONT, 15).into_font()).pos(Pos::new(HPos::Left, VPos::Center));
    let (line, text, top) = ([8, 44], 54, 24);
    let dense = PathElement::new([(line[0], top), (line[1], top)], BLACK.stroke_width(2));
    area.draw(&dense)?;
    area.draw(&Text::new("dense (1.0)", (text, top), style()))?;
    for (i, one) in series.iter().enumerate() {
        let y = top + LEGEND_LINE * (i as i32 + 1);
        area.draw(&PathElement::new([(line[0], y), (line[1], y)], one.colour.stroke_width(3)))?;
        draw_marker(area, one, (line[0].midpoint(line[1]), y))?;
        area.draw(&Text::new(format!("{} {}", one.format, one.strategy), (text, y), style()))?;
    }
    Ok(())
}

/// Draws a marker; its size is in pixels.
fn draw_marker<T: CoordTranslate>(area: &DrawingArea<SVGBackend<'_>, T>, series: &Series, at: T::From) -> Drawn
where
    T::From: Clone + 'static,
{
    match series.marker {
        Marker::Circle => area.draw(&Circle::new(at, 5, series.colour.filled())),
        Marker::Triangle => area.draw(&TriangleMarker::new(at, 7, series.colour.filled())),
        Marker::Cross => area.draw(&Cross::new(at, 5, series.colour.stroke_width(3))),
    }
}
