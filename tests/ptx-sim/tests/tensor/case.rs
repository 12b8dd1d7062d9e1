//! Kernels of one warp that copy one box, and what must lie where.

use ptx_sim::FindingKind;
use ptx_sim::Launch;
use ptx_sim::Memory;
use ptx_sim::Module;
use ptx_sim::Report;
use ptx_sim::Swizzle;
use ptx_sim::TensorMap;

/// Copies a box to shared memory, waits, and writes its words to `out`. Upper-case names are replaced.
pub const LOAD: &str = "@%p1 mbarrier.init.shared.b64 [%r2], 1;
    bar.sync 0;
    @%p1 mbarrier.arrive.expect_tx.shared.b64 %rd9, [%r2], BYTES;
    @%p1 cp.async.bulk.tensor.RANKd.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r4], [%rd1, {CORNER}], [%r2];
    WAIT: mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;
    @!%p2 bra WAIT;
    LOOP: setp.ge.u32 %p3, %r5, WORDS;
    @%p3 bra END;
    shl.b32 %r6, %r5, 2; add.u32 %r7, %r4, %r6; cvt.u64.u32 %rd3, %r6; add.u64 %rd4, %rd2, %rd3;
    ld.shared.u32 %r8, [%r7]; st.global.u32 [%rd4], %r8;
    add.u32 %r5, %r5, 32; bra LOOP;
    END:";

/// Writes 1, 2, 3, ... to the words of a box in shared memory, and copies it to the tensor.
pub const STORE: &str = "LOOP: setp.ge.u32 %p3, %r5, WORDS;
    @%p3 bra END;
    shl.b32 %r6, %r5, 2; add.u32 %r7, %r4, %r6; add.u32 %r8, %r5, 1; st.shared.u32 [%r7], %r8;
    add.u32 %r5, %r5, 32; bra LOOP;
    END:
    fence.proxy.async.shared::cta; bar.sync 0;
    @%p1 cp.async.bulk.tensor.RANKd.global.shared::cta.tile.bulk_group [%rd1, {CORNER}], [%r4];
    @%p1 cp.async.bulk.commit_group;
    @%p1 cp.async.bulk.wait_group 0;";

/// How the kernel comes by the address of its map.
pub const PARAMETER: &str = "mov.b64 %rd1, map; cvta.param.u64 %rd1, %rd1;";

/// One box of a tensor, and its place behind the start of shared memory.
pub struct Case {
    pub map: TensorMap,
    pub corner: Vec<i64>,
    pub place: usize,
}

/// A map whose address is that of [`Case::memory`]'s allocation.
pub fn map(element_bytes: u32, dims: &[u64], strides_bytes: &[u64], box_dims: &[u32], swizzle: Swizzle) -> TensorMap {
    TensorMap {
        global_address: 0,
        element_bytes,
        dims: dims.to_vec(),
        strides_bytes: strides_bytes.to_vec(),
        box_dims: box_dims.to_vec(),
        element_strides: vec![1; dims.len()],
        swizzle,
    }
}

/// All indices below some extents, the first running fastest.
pub fn indices(extents: &[u64]) -> Vec<Vec<u64>> {
    let mut found = vec![vec![]];
    for &extent in extents.iter().rev() {
        found = found
            .into_iter()
            .flat_map(|outer| (0..extent).map(move |index| [vec![index], outer.clone()].concat()))
            .collect();
    }
    found
}

impl Case {
    /// The innermost dimension has no steps.
    fn steps(&self) -> Vec<u32> {
        [&[1], &self.map.element_strides[1..]].concat()
    }

    pub fn extents(&self) -> Vec<u64> {
        self.map.box_dims.iter().zip(self.steps()).map(|(dim, step)| u64::from(dim.div_ceil(step))).collect()
    }

    pub fn bytes(&self) -> u64 {
        self.extents().iter().product::<u64>() * u64::from(self.map.element_bytes)
    }

    /// The coordinates of an element of the box, if they are inside the tensor.
    pub fn coordinates(&self, index: &[u64]) -> Option<Vec<u64>> {
        let inside = |dimension: usize, step: u32| {
            let at = self.corner[dimension] + (index[dimension] * u64::from(step)) as i64;
            u64::try_from(at).ok().filter(|&at| at < self.map.dims[dimension])
        };
        self.steps().into_iter().enumerate().map(|(dimension, step)| inside(dimension, step)).collect()
    }

    /// Where an element lies in global memory, from the tensor's start.
    pub fn offset(&self, coordinates: &[u64]) -> u64 {
        let outer = coordinates[1..].iter().zip(&self.map.strides_bytes).map(|(at, stride)| at * stride).sum::<u64>();
        coordinates[0] * u64::from(self.map.element_bytes) + outer
    }

    /// Where an element of the box lies, from the box's start: in the layout of rows, with 16-byte chunk `j` of the row
    /// in line `l` of 128 bytes at `j ^ l` modulo the chunks of a row.
    pub fn shared_offset(&self, number: usize) -> usize {
        let at = number * self.map.element_bytes as usize;
        let chunks = self.map.swizzle.row_bytes() as usize / 16;
        let (line, chunk) = ((self.place + at) / 128, at / 16);
        at - chunk * 16 + (chunk / chunks * chunks + (chunk ^ line) % chunks) * 16
    }

    /// Runs one of the kernels with a change in its text on memory that holds the tensor, with the elements for which
    /// `values` has something.
    pub fn run(&self, kernel: &str, values: impl Fn(&[u64]) -> Option<u64>, change: (&str, &str)) -> Run {
        self.run_with_map(kernel, values, change, |_| {})
    }

    /// As [`Case::run`], with a map that differs from what is in memory.
    pub fn run_with_map(
        &self,
        kernel: &str,
        values: impl Fn(&[u64]) -> Option<u64>,
        change: (&str, &str),
        alter: impl Fn(&mut TensorMap),
    ) -> Run {
        let mut map = self.map.clone();
        let memory = Memory::new();
        let last: Vec<u64> = map.dims.iter().map(|dim| dim - 1).collect();
        let size_bytes = self.offset(&last) + u64::from(map.element_bytes);
        let tensor = memory.alloc(size_bytes).unwrap();
        for at in indices(&map.dims) {
            if let Some(value) = values(&at) {
                let bytes = value.to_le_bytes();
                memory.write(tensor + self.offset(&at), &bytes[..map.element_bytes as usize]).unwrap();
            }
        }
        map.global_address = tensor;
        alter(&mut map);
        let encoded = map.encode().unwrap();
        let out = memory.alloc(self.bytes()).unwrap();
        let map_copy = memory.alloc(256).unwrap();
        memory.write(map_copy, &encoded).unwrap();
        let module = Module::parse(&self.text(kernel, &encoded, change)).unwrap_or_else(|error| panic!("{error}"));
        let params: &[&[u8]] = &[&encoded, &out.to_le_bytes(), &map_copy.to_le_bytes()];
        let mut reports = Vec::new();
        for seed in 0..4 {
            let launch =
                Launch { seed, max_warp_instructions_per_block: 1 << 16, ..Launch::new([1, 1, 1], [32, 1, 1], params) };
            reports.push(module.launch("k", &launch, &memory).unwrap());
        }
        Run { reports, memory, tensor, out }
    }

    fn text(&self, kernel: &str, encoded: &[u8], change: (&str, &str)) -> String {
        let corner: Vec<String> = self.corner.iter().map(ToString::to_string).collect();
        let bytes: Vec<String> = encoded.iter().map(ToString::to_string).collect();
        let text = format!(
            ".version 9.0\n.target sm_90a\n.address_size 64\n.const .align 64 .b8 constant_map[128] = {{{}}};\n\
             .visible .entry k(.param .align 64 .b8 map[128], .param .u64 out, .param .u64 map_copy)\n{{\n\
             .reg .pred %p<9>; .reg .b32 %r<40>; .reg .b64 %rd<40>;\n\
             .shared .align 1024 .b8 s[16384]; .shared .align 8 .b64 bar;\n{PARAMETER}\n\
             ld.param.u64 %rd2, [out]; mov.u32 %r1, %tid.x; mov.u32 %r5, %r1; mov.u32 %r2, bar; mov.u32 %r3, s;\n\
             add.u32 %r4, %r3, {}; setp.eq.u32 %p1, %r1, 0;\n{kernel}\nret;\n}}\n",
            bytes.join(", "),
            self.place
        );
        let text = text.replace("BYTES", &self.bytes().to_string()).replace("WORDS", &(self.bytes() / 4).to_string());
        let text = text.replace("RANK", &self.map.dims.len().to_string()).replace("CORNER", &corner.join(", "));
        assert!(text.contains(change.0), "{change:?}");
        text.replace(change.0, change.1)
    }
}

/// What a kernel left.
pub struct Run {
    /// One of each seed.
    pub reports: Vec<Report>,
    pub memory: Memory,
    pub tensor: u64,
    pub out: u64,
}

impl Run {
    pub fn assert_clean(&self) {
        for report in &self.reports {
            assert!(report.findings.is_empty(), "{}", report.findings[0]);
        }
    }

    /// One of the kinds is found for every seed; the text of the first.
    pub fn assert_found(&self, kinds: &[FindingKind]) -> String {
        for report in &self.reports {
            let all: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            assert!(report.findings.iter().any(|finding| kinds.contains(&finding.kind)), "no {kinds:?} in {all:#?}");
        }
        let of_kind = |finding: &&ptx_sim::Finding| kinds.contains(&finding.kind);
        self.reports[0].findings.iter().find(of_kind).unwrap().to_string()
    }

    /// `size` ≤ 8 bytes of memory.
    pub fn value(&self, address: u64, size: u32) -> u64 {
        let mut bytes = [0; 8];
        self.memory.read(address, &mut bytes[..size as usize]).unwrap();
        u64::from_le_bytes(bytes)
    }
}
