//! Parses PTX files, and lists for each its kernels, or every line that the simulator does not know.

use ptx_sim::Module;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let mut text = std::fs::read_to_string(&path)?;
        println!("{path}:");
        loop {
            match Module::parse(&text) {
                Ok(module) => {
                    module.entries().for_each(|entry| println!("  {entry:?}"));
                    break;
                }
                Err(error) => {
                    println!("  {error}");
                    let mut lines: Vec<&str> = text.lines().collect();
                    let line = error.line as usize - 1;
                    if lines[line].is_empty() {
                        break;
                    }
                    // Goes on without the line.
                    lines[line] = "";
                    text = lines.join("\n");
                }
            }
        }
    }
    Ok(())
}
