//! Reader thread -> conversion -> writer thread. A rendezvous between each two: a reader is at most one piece ahead.

use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread::ScopedJoinHandle;

use crate::checkpoint::Checkpoint;
use crate::checkpoint::Linear;
use crate::checkpoint::ModelWriter;
use crate::checkpoint::Output;
use crate::checkpoint::Stored;
use crate::checkpoint::TensorInfo;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::values::OwnedValues;

/// The size of the pieces in which dense tensors are copied.
const PIECE_BYTES: u64 = 8 << 20;

/// What is done with one tensor of the source.
pub(super) enum Step {
    /// It is copied.
    Copy(TensorInfo),
    /// It is the weight of `linear`, which is converted.
    Convert { tensor: TensorInfo, linear: Linear },
}

/// What goes from thread to thread. `tensor` is where it comes from in the source.
pub(super) enum Piece {
    /// Part of a tensor that is copied.
    Bytes { tensor: TensorInfo, offset: u64, bytes: Vec<u8> },
    /// A dense weight.
    Values { linear: Linear, tensor: TensorInfo, values: OwnedValues },
    /// A quantized weight.
    Matrix { linear: Linear, tensor: TensorInfo, matrix: QuantMatrix },
}

impl Piece {
    fn tensor(&self) -> &TensorInfo {
        match self {
            Self::Bytes { tensor, .. } | Self::Values { tensor, .. } | Self::Matrix { tensor, .. } => tensor,
        }
    }

    /// How much of the source it stands for.
    fn source_bytes(&self) -> u64 {
        match self {
            Self::Bytes { bytes, .. } => bytes.len() as u64,
            Self::Values { tensor, .. } | Self::Matrix { tensor, .. } => tensor.num_bytes(),
        }
    }
}

/// How far a conversion is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The tensor that was converted or copied last.
    pub tensor: &'a str,
    /// Bytes of the source that are done.
    pub done_bytes: u64,
    /// Bytes of the source in all.
    pub total_bytes: u64,
}

/// Runs `steps`, passing each piece through `transform` in this thread.
pub(super) fn run(
    source: &Checkpoint,
    steps: &[Step],
    writer: ModelWriter,
    transform: impl FnMut(Piece) -> Result<Piece>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Output, u64)> {
    let tensors = steps.iter().map(|step| match step {
        Step::Copy(tensor) | Step::Convert { tensor, .. } => tensor,
    });
    let total_bytes = super::total_bytes(tensors);
    let writer = std::thread::scope(|scope| {
        let (to_transform, from_reader) = sync_channel(0);
        let (to_writer, from_transform) = sync_channel(0);
        let reader = scope.spawn(move || read_all(source, steps, &to_transform));
        let writer = scope.spawn(move || write_all(writer, &from_transform));
        let transformed = transform_all(from_reader, to_writer, transform, total_bytes, progress);
        // A thread that stops because the next one did stops without an error: only the cause is one.
        let (read, written) = (join(reader), join(writer));
        transformed.and(read).and(written)
    })?;
    writer.finish()
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn read_all(source: &Checkpoint, steps: &[Step], sender: &SyncSender<Piece>) -> Result<()> {
    for step in steps {
        let sent = match step {
            Step::Copy(tensor) => read_pieces(source, tensor, sender)?,
            Step::Convert { tensor, linear } => {
                let (linear, tensor) = (linear.clone(), tensor.clone());
                sender.send(match linear.kind {
                    Stored::Dense(_) => Piece::Values { values: source.read_values(&tensor.name)?, linear, tensor },
                    Stored::Quantized(_) => Piece::Matrix { matrix: source.load_matrix(&linear.name)?, linear, tensor },
                })
            }
        };
        if sent.is_err() {
            break;
        }
    }
    Ok(())
}

type Sent = std::result::Result<(), std::sync::mpsc::SendError<Piece>>;

/// Sends a tensor piece by piece; one without bytes as one empty piece.
fn read_pieces(source: &Checkpoint, tensor: &TensorInfo, sender: &SyncSender<Piece>) -> Result<Sent> {
    let mut offset = 0;
    loop {
        let length = PIECE_BYTES.min(tensor.num_bytes() - offset);
        let mut bytes = vec![0; length as usize];
        source.read_at(&tensor.name, offset, &mut bytes)?;
        let sent = sender.send(Piece::Bytes { tensor: tensor.clone(), offset, bytes });
        offset += length;
        if sent.is_err() || offset == tensor.num_bytes() {
            return Ok(sent);
        }
    }
}

fn transform_all(
    receiver: Receiver<Piece>,
    sender: SyncSender<Piece>,
    mut transform: impl FnMut(Piece) -> Result<Piece>,
    total_bytes: u64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<()> {
    let mut done_bytes = 0;
    for piece in receiver {
        done_bytes += piece.source_bytes();
        let piece = transform(piece)?;
        let name = piece.tensor().name.clone();
        if sender.send(piece).is_err() {
            break;
        }
        progress(Progress { tensor: &name, done_bytes, total_bytes });
    }
    Ok(())
}

fn write_all(mut writer: ModelWriter, receiver: &Receiver<Piece>) -> Result<ModelWriter> {
    for piece in receiver {
        match &piece {
            Piece::Bytes { tensor, offset, bytes } => writer.write_at(&tensor.name, *offset, bytes)?,
            Piece::Values { linear, values, .. } => {
                writer.write(&format!("{}.weight", linear.name), values.as_bytes())?;
            }
            Piece::Matrix { linear, matrix, .. } => writer.write_matrix(&linear.name, matrix)?,
        }
    }
    Ok(writer)
}
