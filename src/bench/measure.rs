//! All products of one shape and M: checked, then timed in turns.

use super::Ceilings;
use super::Event;
use super::LayerShape;
use super::Row;
use super::Settings;
use super::Times;
use super::data;
use super::report::Context;
use super::report::How;
use super::timing;
use super::weights::Weights;
use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::strategy::Strategy;
use crate::tensor::Tensor;
use crate::values::Dtype;
use crate::values::OwnedValues;

/// The turns in which the samples of each product are taken.
const ROUNDS: usize = 4;
/// Products in a sample at most: nodes of a CUDA graph take memory.
const MAX_PRODUCTS: usize = 4096;

/// The weights of one shape: dense ones first.
pub(super) fn load(settings: &Settings, device: &Device, shape: &LayerShape) -> Result<Vec<Weights>> {
    let shape = shape.shape;
    // Products of such weights with activations of variance 1 have variance 1.
    let w = data::normal(11, shape.num_values(), 1.0 / (shape.k() as f32).sqrt());
    let mut all = vec![Weights::dense(device, shape, &w, settings)?];
    for layer in &settings.layers {
        all.push(Weights::low_bit(device, shape, &w, layer, settings)?);
    }
    Ok(all)
}

/// x in one type: on the host for the check, on the device for the products.
struct Inputs {
    host: OwnedValues,
    x: Tensor,
}

impl Inputs {
    fn new(values: &[f32], dtype: Dtype, k: usize, device: &Device) -> Result<Self> {
        let host = OwnedValues::from_f32(dtype, values);
        let x = Tensor::new(host.clone(), &[values.len() / k, k])?.to(device)?;
        Ok(Self { host, x })
    }
}

/// One row in the making.
struct Contender<'a> {
    weights: &'a Weights,
    how: How,
    inputs: &'a Inputs,
    y: Tensor,
    turn: usize,
    products: usize,
    seconds: Vec<f64>,
}

impl Contender<'_> {
    /// Enqueues one product by the copy whose turn it is.
    fn multiply(&mut self) -> Result<()> {
        self.turn += 1;
        self.weights.multiply(self.how, self.turn, &self.inputs.x, &mut self.y)
    }

    /// Finds how many products a sample takes. Every copy is multiplied in each sample on a GPU, where the same graph is
    /// replayed.
    fn calibrate(&mut self, settings: &Settings, device: &Device) -> Result<()> {
        let copies = self.weights.num_copies();
        let (first, least) = match device {
            Device::Cpu(_) => (1, 1),
            Device::Cuda(_) => (copies, copies),
        };
        let seconds = timing::sample(device, 1, first, &mut || self.multiply())?[0].max(1e-9);
        let wanted = (settings.min_time.as_secs_f64() / seconds).ceil() as usize;
        self.products = wanted.clamp(least, MAX_PRODUCTS.max(least));
        Ok(())
    }

    fn sample(&mut self, device: &Device, samples: usize) -> Result<()> {
        let seconds = timing::sample(device, samples, self.products, &mut || self.multiply())?;
        self.seconds.extend(seconds);
        Ok(())
    }

    fn row(&self, context: &Context<'_>, settings: &Settings) -> Row {
        let (shape, m) = (context.shape.shape, context.m);
        let dtype = self.weights.dtype(settings.dtype);
        let bytes = self.weights.copy_bytes + m * (shape.n() + shape.k()) * dtype.size_bytes();
        let times = Times::new(self.seconds.clone());
        Row {
            shape: context.shape.clone(),
            m,
            format: self.weights.name.clone(),
            activations: self.weights.activations,
            dtype,
            how: self.how,
            products: self.products,
            copies: self.weights.num_copies(),
            cold: self.weights.cold,
            weight_bytes: self.weights.copy_bytes,
            bytes,
            operations: context.operations(),
            share_of_ceiling: context.ceilings.floor(bytes, context.operations()) / times.median(),
            times,
            speedup_over_dense: None,
            speedup_over_dequantize: None,
        }
    }
}

/// Measures one shape and M.
pub(super) fn measure<E: From<Error>>(
    settings: &Settings,
    device: &Device,
    ceilings: &Ceilings,
    shape: &LayerShape,
    m: usize,
    weights: &[Weights],
    on: &mut dyn FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let k = shape.shape.k();
    let values = data::normal(13, m * k, 1.0);
    let own = Inputs::new(&values, settings.dtype, k, device)?;
    let dense = Inputs::new(&values, super::dense::dense_dtype(device, settings.dtype), k, device)?;
    drop(values);

    let mut contenders = Vec::new();
    for weights in weights {
        let dtype = weights.dtype(settings.dtype);
        for how in weights.ways(&settings.strategies, m, dtype)? {
            let inputs = if matches!(how, How::Dense(_)) { &dense } else { &own };
            let y = Tensor::zeros_on(dtype, &[m, shape.shape.n()], device)?;
            let mut one = Contender { weights, how, inputs, y, turn: 0, products: 1, seconds: Vec::new() };
            match (one.multiply(), how) {
                (Ok(()), _) => weights.expected.check(one.inputs.host.as_values(), &one.y, device)?,
                (Err(error @ Error::Unsupported { .. }), How::Strategy(strategy)) => {
                    on(Event::Missing { shape, m, format: &weights.name, strategy, error: &error })?;
                    continue;
                }
                (Err(error), _) => return Err(error.into()),
            }
            contenders.push(one);
        }
    }
    time_in_turns(&mut contenders, settings, device)?;
    let context = Context { shape, m, ceilings };
    for row in compared(contenders.iter().map(|one| one.row(&context, settings)).collect()) {
        on(Event::Row(&row))?;
    }
    Ok(())
}

fn time_in_turns(contenders: &mut [Contender<'_>], settings: &Settings, device: &Device) -> Result<()> {
    for one in &mut *contenders {
        one.calibrate(settings, device)?;
    }
    let samples = settings.samples;
    for round in 0..ROUNDS {
        let count = samples * (round + 1) / ROUNDS - samples * round / ROUNDS;
        if count > 0 {
            contenders.iter_mut().try_for_each(|one| one.sample(device, count))?;
        }
    }
    Ok(())
}

/// The rows with their speed-ups.
fn compared(mut rows: Vec<Row>) -> Vec<Row> {
    let median_of =
        |rows: &[Row], wanted: &dyn Fn(&Row) -> bool| rows.iter().find(|row| wanted(row)).map(|row| row.times.median());
    let dense = median_of(&rows, &|row| matches!(row.how, How::Dense(_)));
    let dequantize = How::Strategy(Strategy::DequantizeThenMultiply);
    for i in 0..rows.len() {
        let format = rows[i].format.clone();
        let first = median_of(&rows, &|row| row.how == dequantize && row.format == format);
        let median = rows[i].times.median();
        rows[i].speedup_over_dense = dense.map(|dense| dense / median);
        rows[i].speedup_over_dequantize = first.map(|first| first / median);
    }
    rows
}
