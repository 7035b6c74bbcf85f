//! Real disks that can lose power or run full: loop devices and small file systems (root only).

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::peers;

/// A file system of its own, unmounted and removed with the value.
#[derive(Debug)]
pub struct Disk {
    home: TempDir,
    mounted: PathBuf,
    /// What makes it disappear from the machine, innermost first.
    points: Vec<PathBuf>,
}

fn run(program: &str, args: &[&str]) -> Result<Output, String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{program}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(output) } else { Err(format!("{program}: {text}")) }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in ASCII")
}

/// In memory where possible: the tests are about order and errors, not about a disk's speed.
fn home() -> TempDir {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("basalt-disk-");
        builder
    };
    builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir()).expect("a directory")
}

impl Disk {
    /// A journaling file system in a file that can lose its power; `None` (and a line that says
    /// so) where this machine does not allow it.
    pub fn ext4(megabytes: u32) -> Option<Disk> {
        peers::need("perl")?;
        let home = home();
        let points = vec![home.path().join("mnt")];
        let disk = Disk { mounted: points[0].clone(), home, points };
        let lazy = ["-E", "lazy_itable_init=1,lazy_journal_init=1"];
        let make = || {
            disk.format(disk.home.path(), megabytes, &lazy)?;
            disk.mount_image()
        };
        disk.made(make).then_some(disk)
    }

    /// A file system of this size in memory.
    pub fn tmpfs(megabytes: u32) -> Option<Disk> {
        let home = home();
        let points = vec![home.path().join("mnt")];
        let disk = Disk { mounted: points[0].clone(), home, points };
        let size = format!("size={megabytes}m");
        let make = || {
            fs::create_dir(&disk.mounted).map_err(|e| e.to_string())?;
            run("mount", &["-t", "tmpfs", "-o", &size, "none", text(&disk.mounted)])
        };
        disk.made(make).then_some(disk)
    }

    /// A file system that believes in `megabytes` over a device that really has `backed` for data:
    /// beyond that, writing back fails, which programs see as errors of fsync. Its journal and all
    /// that describes files lie in front and are backed, for a journal that cannot be written makes
    /// the whole file system read-only.
    pub fn thin(megabytes: u32, backed: u32) -> Option<Disk> {
        const FRONT: u32 = 8;
        let home = home();
        let below = home.path().join("below");
        let points = vec![below.join("mnt"), below.clone()];
        let disk = Disk { mounted: points[0].clone(), home, points };
        let size = format!("size={}m", backed + FRONT);
        let make = || {
            fs::create_dir(&below).map_err(|e| e.to_string())?;
            run("mount", &["-t", "tmpfs", "-o", &size, "none", text(&below)])?;
            let front = "packed_meta_blocks=1,lazy_itable_init=0,lazy_journal_init=0";
            // Directories in their inodes, and so in front as well.
            let inodes = ["-b", "4096", "-N", "512", "-I", "1024", "-O", "inline_data"];
            let options = [&inodes[..], &["-J", "size=4", "-E", front]].concat();
            disk.format(&below, megabytes, &options)?;
            let image = below.join("image");
            let (from, to) = (format!("if={}", text(&image)), format!("of={}", text(&image)));
            run("dd", &[&from, &to, "bs=1M", &format!("count={FRONT}"), "conv=notrunc"])?;
            disk.mount_image()
        };
        disk.made(make).then_some(disk)
    }

    /// A file system whose device can stop for a while (`freeze`): the image lies in another one.
    pub fn slow(megabytes: u32) -> Option<Disk> {
        let home = home();
        let below = home.path().join("below");
        let points = vec![below.join("mnt"), below.clone()];
        let disk = Disk { mounted: points[0].clone(), home, points };
        let make = || {
            let image = disk.home.path().join("image");
            let file = fs::File::create(&image).map_err(|e| e.to_string())?;
            file.set_len(u64::from(megabytes + 64) << 20).map_err(|e| e.to_string())?;
            run("mkfs.ext4", &["-q", "-F", "-m", "0", text(&image)])?;
            fs::create_dir(&below).map_err(|e| e.to_string())?;
            run("mount", &["-o", "loop", text(&image), text(&below)])?;
            disk.format(&below, megabytes, &[])?;
            disk.mount_image()
        };
        disk.made(make).then_some(disk)
    }

    /// Stops the device of a slow one for so many seconds: what is written gets no further than the
    /// page cache, and a sync waits. It goes on whatever becomes of the caller. Returns when it has
    /// stopped.
    pub fn freeze(&self, seconds: u32) -> Child {
        let below = text(self.points.last().expect("a mount point"));
        let script = format!("fsfreeze -f {below} && echo; sleep {seconds}; fsfreeze -u {below}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        let out = child.stdout.as_mut().expect("a pipe");
        out.read_exact(&mut [0]).expect("a file system that can be frozen");
        child
    }

    fn made(&self, make: impl FnOnce() -> Result<Output, String>) -> bool {
        match make() {
            Ok(_) => true,
            Err(why) => {
                peers::skip(&format!("this machine allows no mounts ({why})"));
                false
            }
        }
    }

    fn format(&self, at: &Path, megabytes: u32, options: &[&str]) -> Result<(), String> {
        let image = at.join("image");
        let file = fs::File::create(&image).map_err(|e| e.to_string())?;
        file.set_len(u64::from(megabytes) << 20).map_err(|e| e.to_string())?;
        run("mkfs.ext4", &[&["-q", "-F", "-m", "0"], options, &[text(&image)]].concat())?;
        fs::create_dir(&self.mounted).map_err(|e| e.to_string())
    }

    fn mount_image(&self) -> Result<Output, String> {
        let image = self.mounted.with_file_name("image");
        let options = "loop,noatime,errors=continue";
        let mounted =
            run("mount", &["-t", "ext4", "-o", options, text(&image), text(&self.mounted)])?;
        if self.points.len() > 1 {
            // A loop device calls a write whole that its full file system below has done in part,
            // so it gets no write that could be done in part.
            let device = run("findmnt", &["-n", "-o", "SOURCE", text(&self.mounted)])?;
            let device = String::from_utf8_lossy(&device.stdout).trim().replace("/dev/", "");
            let limit = format!("/sys/block/{device}/queue/max_sectors_kb");
            fs::write(&limit, "4").map_err(|e| format!("{limit}: {e}"))?;
        }
        Ok(mounted)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mounted
    }

    /// Gets everything ready for a power cut, so that the cut itself takes microseconds.
    pub fn switch(&self) -> Switch {
        // EXT4_IOC_SHUTDOWN without flushing the journal; libraries have no safe call for it.
        let script = "my $how = pack('L', 2); sysopen(F, $ARGV[0], 0) or die $!; $| = 1; \
                      print \"ready\\n\"; <STDIN>; ioctl(F, 0x8004587d, $how) or die $!";
        let mut perl = Command::new("perl");
        perl.args(["-e", script, text(&self.mounted)]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = perl.spawn().expect("perl");
        let mut ready = [0; 6];
        let out = child.stdout.as_mut().expect("a pipe");
        out.read_exact(&mut ready).expect("a file system that can be shut down");
        Switch(child)
    }

    /// Unmounts and mounts again: what is there now is what the device holds. Nobody may have a
    /// file of it open.
    pub fn restore(&self) {
        let mut tries = 0;
        // A process that was just killed may hold its files for a moment longer.
        while let Err(why) = run("umount", &[text(&self.mounted)]) {
            tries += 1;
            assert!(tries < 500, "{why}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.mount_image().expect("the file system mounts again");
    }

    /// The same where there is a device that may hold less than the page cache does.
    pub fn restore_if_image(&self) {
        if self.mounted.with_file_name("image").exists() {
            self.restore();
        }
    }

    /// Forbids all writes.
    pub fn read_only(&self) {
        run("mount", &["-o", "remount,ro", text(&self.mounted)]).expect("a read-only disk");
    }

    /// Gives the file system (or the one below a thin one) this size.
    pub fn resize(&self, megabytes: u32) {
        let point = self.points.last().expect("a mount point");
        let option = format!("remount,size={megabytes}m");
        run("mount", &["-o", &option, text(point)]).expect("another size");
    }
}

/// A power switch that has not been turned yet.
#[derive(Debug)]
pub struct Switch(Child);

impl Switch {
    /// Cuts the power: nothing that has not been synced will be there afterwards, and until
    /// `restore` every write fails. Programs go on for a moment, unlike in a real power cut, and a
    /// sync that was in flight may still tell them of success: do not believe what is heard after
    /// this was called.
    pub fn cut(mut self) {
        self.0.stdin.take().expect("a pipe").write_all(b"\n").expect("perl waits");
        assert!(self.0.wait().expect("perl ends").success(), "no power cut");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for point in &self.points {
            let _ = run("umount", &["-l", text(point)]);
        }
    }
}
