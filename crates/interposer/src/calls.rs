//! The calls themselves, under the names of the C library, each by a raw system call. `open` takes its mode as an
//! ordinary argument, which is where a variadic one is on x86-64 and AArch64; it is looked at only with `O_CREAT`.

#![allow(unsafe_code, reason = "these are the C library's own signatures")]
#![allow(clippy::missing_safety_doc, reason = "as the manual pages say")]

use std::{
    ffi::{CStr, OsStr},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::MutexGuard,
};

use libc::{AT_FDCWD, c_char, c_int, c_long, iovec, mode_t, off_t, size_t, ssize_t};

use crate::{
    Fault, FileId, Kind, Op,
    state::{State, Verdict, enter, on_file, set_file},
};

/// Makes the linker take this file, and with it every name below, wherever a recording is started.
pub(crate) fn link() {
    std::hint::black_box([
        open as *const (),
        open64 as *const (),
        openat as *const (),
        openat64 as *const (),
        creat as *const (),
        close as *const (),
        write as *const (),
        pwrite as *const (),
        pwrite64 as *const (),
        writev as *const (),
        fsync as *const (),
        fdatasync as *const (),
        ftruncate as *const (),
        ftruncate64 as *const (),
        fallocate as *const (),
        fallocate64 as *const (),
        posix_fallocate as *const (),
        posix_fallocate64 as *const (),
        rename as *const (),
        renameat as *const (),
        unlink as *const (),
        unlinkat as *const (),
        mkdir as *const (),
        mkdirat as *const (),
    ]);
}

fn fail(number: i32) -> c_int {
    unsafe { *libc::__errno_location() = number };
    -1
}

/// The path below the recorded folder. One relative to a descriptor is not followed: nothing here makes such calls,
/// and a test that compares the folder with the recording would notice.
unsafe fn below(state: &State, path: *const c_char) -> Option<PathBuf> {
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    state.relative(Path::new(OsStr::from_bytes(bytes)))
}

unsafe fn open_at(folder: c_int, path: *const c_char, (flags, mode): (c_int, mode_t)) -> c_int {
    let real = || unsafe { libc::syscall(libc::SYS_openat, folder, path, flags, mode) as c_int };
    let Some(mut state) = enter() else { return real() };
    let Some(relative) = (unsafe { below(&state, path) }) else { return real() };
    let named = state.named(&relative);
    let creates = named.is_none() && flags & libc::O_CREAT != 0;
    if let Verdict::Fail(number) = state.admit(Kind::Open, creates) {
        return fail(number);
    }
    let descriptor = real();
    if descriptor < 0 {
        return descriptor;
    }
    let file = match named {
        Some(file) => {
            if flags & libc::O_TRUNC != 0 {
                state.ops.push(Op::Resize { file, length: 0 });
            }
            Some(file)
        }
        None => creates.then(|| state.created(relative, false)),
    };
    set_file(descriptor, file);
    descriptor
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_at(AT_FDCWD, path, (flags, mode)) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_at(AT_FDCWD, path, (flags, mode)) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_at(folder, path, (flags, mode)) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_at(folder, path, (flags, mode)) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn creat(path: *const c_char, mode: mode_t) -> c_int {
    unsafe { open_at(AT_FDCWD, path, (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode)) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    set_file(descriptor, None);
    unsafe { libc::syscall(libc::SYS_close, descriptor) as c_int }
}

/// Writes to a recorded file by `real`, which is given how many bytes.
fn record(
    (mut state, file): (MutexGuard<'static, State>, FileId),
    (offset, bytes): (off_t, &[u8]),
    real: impl FnOnce(size_t) -> c_long,
) -> ssize_t {
    let length = match state.admit(Kind::Write, true) {
        Verdict::Fail(number) => return fail(number) as ssize_t,
        Verdict::Half if bytes.len() < 2 => return fail(libc::ENOSPC) as ssize_t,
        Verdict::Half => bytes.len() / 2,
        _ => bytes.len(),
    };
    let written = real(length);
    if written > 0 {
        state.written(file, offset as u64, &bytes[..written as usize]);
    }
    written as ssize_t
}

/// Where the next `write` goes.
fn position(descriptor: c_int) -> off_t {
    unsafe {
        let flags = libc::fcntl(descriptor, libc::F_GETFL);
        if flags & libc::O_APPEND != 0 {
            return libc::lseek(descriptor, 0, libc::SEEK_END);
        }
        libc::lseek(descriptor, 0, libc::SEEK_CUR)
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn write(descriptor: c_int, bytes: *const u8, count: size_t) -> ssize_t {
    let real = |count: size_t| unsafe { libc::syscall(libc::SYS_write, descriptor, bytes, count) };
    let Some(at) = on_file(descriptor) else { return real(count) as ssize_t };
    record(at, (position(descriptor), unsafe { std::slice::from_raw_parts(bytes, count) }), real)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwrite(descriptor: c_int, bytes: *const u8, count: size_t, offset: off_t) -> ssize_t {
    let real = |count: size_t| unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, bytes, count, offset) };
    let Some(at) = on_file(descriptor) else { return real(count) as ssize_t };
    record(at, (offset, unsafe { std::slice::from_raw_parts(bytes, count) }), real)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwrite64(descriptor: c_int, bytes: *const u8, count: size_t, offset: off_t) -> ssize_t {
    unsafe { pwrite(descriptor, bytes, count, offset) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn writev(descriptor: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    let Some(at) = on_file(descriptor) else {
        return unsafe { libc::syscall(libc::SYS_writev, descriptor, parts, count) as ssize_t };
    };
    let parts = unsafe { std::slice::from_raw_parts(parts, count as usize) };
    let part = |part: &iovec| unsafe { std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len) };
    let bytes: Vec<u8> = parts.iter().flat_map(part).copied().collect();
    let real = |count: size_t| unsafe { libc::syscall(libc::SYS_write, descriptor, bytes.as_ptr(), count) };
    record(at, (position(descriptor), &bytes), real)
}

unsafe fn sync(descriptor: c_int, call: c_long) -> c_int {
    let real = || unsafe { libc::syscall(call, descriptor) as c_int };
    let Some((mut state, file)) = on_file(descriptor) else { return real() };
    match state.admit(Kind::Sync, false) {
        Verdict::Fail(number) => return fail(number),
        Verdict::Sync(Fault::SyncLanded) => state.ops.push(Op::Sync { file }),
        Verdict::Sync(fault) => {
            let evicted = fault == Fault::SyncEvicted;
            if evicted {
                unsafe { evict(&state, file) };
            }
            state.ops.push(Op::Lose { file, evicted });
        }
        _ => {
            let synced = real();
            if synced == 0 {
                state.ops.push(Op::Sync { file });
            }
            return synced;
        }
    }
    fail(libc::EIO)
}

/// Puts back what is on disk, as if memory had been dropped. A folder keeps its names.
unsafe fn evict(state: &State, file: FileId) {
    let Some(path) = state.absolute(file).filter(|path| !path.is_dir()) else { return };
    let durable = state.durable(file);
    let Ok(path) = std::ffi::CString::new(path.into_os_string().into_encoded_bytes()) else { return };
    unsafe {
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        let descriptor = libc::syscall(libc::SYS_openat, AT_FDCWD, path.as_ptr(), flags, 0) as c_int;
        libc::syscall(libc::SYS_pwrite64, descriptor, durable.as_ptr(), durable.len(), 0);
        libc::syscall(libc::SYS_ftruncate, descriptor, durable.len());
        libc::syscall(libc::SYS_close, descriptor);
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fsync(descriptor: c_int) -> c_int {
    unsafe { sync(descriptor, libc::SYS_fsync) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    unsafe { sync(descriptor, libc::SYS_fdatasync) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ftruncate(descriptor: c_int, length: off_t) -> c_int {
    let real = || unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, length) as c_int };
    let Some((mut state, file)) = on_file(descriptor) else { return real() };
    if let Verdict::Fail(number) = state.admit(Kind::Resize, false) {
        return fail(number);
    }
    let done = real();
    if done == 0 {
        state.ops.push(Op::Resize { file, length: length as u64 });
    }
    done
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ftruncate64(descriptor: c_int, length: off_t) -> c_int {
    unsafe { ftruncate(descriptor, length) }
}

/// Room is set aside by making the file longer, which is all that a crash shows of it.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fallocate(descriptor: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    let real = || unsafe { libc::syscall(libc::SYS_fallocate, descriptor, mode, offset, length) as c_int };
    let Some((mut state, file)) = on_file(descriptor) else { return real() };
    if let Verdict::Fail(number) = state.admit(Kind::Resize, true) {
        return fail(number);
    }
    let before = unsafe { length_of(descriptor) };
    let done = real();
    let after = unsafe { length_of(descriptor) };
    if done == 0 && after != before {
        state.ops.push(Op::Resize { file, length: after as u64 });
    }
    done
}

unsafe fn length_of(descriptor: c_int) -> off_t {
    unsafe {
        let mut about: libc::stat = std::mem::zeroed();
        libc::fstat(descriptor, &raw mut about);
        about.st_size
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fallocate64(descriptor: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    unsafe { fallocate(descriptor, mode, offset, length) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn posix_fallocate(descriptor: c_int, offset: off_t, length: off_t) -> c_int {
    unsafe { if fallocate(descriptor, 0, offset, length) == 0 { 0 } else { *libc::__errno_location() } }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn posix_fallocate64(descriptor: c_int, offset: off_t, length: off_t) -> c_int {
    unsafe { posix_fallocate(descriptor, offset, length) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn renameat(
    from_folder: c_int,
    from: *const c_char,
    to_folder: c_int,
    to: *const c_char,
) -> c_int {
    let real = || unsafe { libc::syscall(libc::SYS_renameat2, from_folder, from, to_folder, to, 0) as c_int };
    let Some(mut state) = enter() else { return real() };
    let (before, after) = unsafe { (below(&state, from), below(&state, to)) };
    let (Some(before), Some(after)) = (before, after) else { return real() };
    if let Verdict::Fail(number) = state.admit(Kind::Rename, true) {
        return fail(number);
    }
    let done = real();
    if done == 0 {
        state.renamed(before, after);
    }
    done
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    unsafe { renameat(AT_FDCWD, from, AT_FDCWD, to) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    let real = || unsafe { libc::syscall(libc::SYS_unlinkat, folder, path, flags) as c_int };
    let Some(mut state) = enter() else { return real() };
    let Some(relative) = (unsafe { below(&state, path) }) else { return real() };
    if let Verdict::Fail(number) = state.admit(Kind::Remove, false) {
        return fail(number);
    }
    let done = real();
    if done == 0 {
        state.removed(relative);
    }
    done
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    unsafe { unlinkat(AT_FDCWD, path, 0) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mkdirat(folder: c_int, path: *const c_char, mode: mode_t) -> c_int {
    let real = || unsafe { libc::syscall(libc::SYS_mkdirat, folder, path, mode) as c_int };
    let Some(mut state) = enter() else { return real() };
    let Some(relative) = (unsafe { below(&state, path) }) else { return real() };
    let creates = state.named(&relative).is_none();
    if let Verdict::Fail(number) = state.admit(Kind::MakeFolder, creates) {
        return fail(number);
    }
    let done = real();
    if done == 0 {
        state.created(relative, true);
    }
    done
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    unsafe { mkdirat(AT_FDCWD, path, mode) }
}
