"""A zip of images from anywhere, unpacked flat into one folder: whole, or refused in one line that says why."""

import errno
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from utils.common.errors import InputError, no_memory

MOST_BYTES, MOST_RATIO, FREELY = 1 << 29, 100, 10_000_000  # of a file; unpacked to packed; unpacked whatever the ratio
AGAIN = "fetch it again"
BY_HAND = "unpack it by hand to {}"
STRANGE = "it is not CelebA's, get that from the project page"


def unpack_images(archive, target):
    """Unpack the files of a zip into the folder `target`, without the folders that the zip has.

    Nothing is written where the zip names a way out of a folder, holds links or one name twice, is encrypted, or
    unfolds to more than its size and the disk allow; no file gets larger than the zip says.
    Raises: InputError; what `target` then holds is no whole set
    """
    archive, target = Path(archive), Path(target)
    try:
        with zipfile.ZipFile(archive) as packed:
            members = _files_of(archive, packed, target)
            for name, member in tqdm(members.items(), desc=f"unpack {archive.name}", unit="img", disable=None):
                with packed.open(member) as source, open(target / name, "xb") as copy:
                    shutil.copyfileobj(source, copy)
    except InputError:
        raise
    except Exception as error:  # the reader of zips raises what a hostile file makes of it
        if no_memory(error):
            raise
        raise _refusal(archive, *_reason(archive, error)) from None


def _files_of(archive, packed, target):
    """{name: member} of the files to unpack; raises InputError if any must not be."""
    members = {}
    for member in packed.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        shown = repr(member.filename[:100])
        if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts[:1]):
            raise _refusal(archive, f"it holds the path {shown}, which leads out of the folder", STRANGE)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _refusal(archive, f"it holds the link {shown}", STRANGE)
        if member.is_dir() or path.name.startswith(".") or not path.name:
            continue
        if path.name in members:
            raise _refusal(archive, f"it holds {path.name!r} twice", STRANGE)
        if member.flag_bits & 1:
            raise _refusal(archive, "it is encrypted", BY_HAND.format(archive.with_suffix("")))
        members[path.name] = member
    if not members:
        raise _refusal(archive, "it holds no file", AGAIN)
    _check_sizes(archive, [member.file_size for member in members.values()], target)
    return members


def _check_sizes(archive, sizes, target):
    total, packed, free = sum(sizes), archive.stat().st_size, shutil.disk_usage(target).free
    if max(sizes) > MOST_BYTES or total > max(FREELY, MOST_RATIO * packed):
        what = f"{packed / 1e6:,.1f} MB unfold to {total / 1e6:,.1f} MB, the largest file to {max(sizes) / 1e6:,.1f} MB"
        raise _refusal(archive, what, STRANGE)
    if total > free:
        have = f"{total / 1e6:,.1f} MB needed, {free / 1e6:,.1f} MB free"
        raise _refusal(archive, have, "make room on the disk, or put the data on another one")


def _refusal(archive, cause, cure):
    return InputError(f"cannot unpack {archive} ({cause}): {cure}")


def _reason(archive, error):
    """(cause, cure) of an error while unpacking."""
    words = " ".join(str(error).split())[:150]
    if isinstance(error, zipfile.BadZipFile) and not zipfile.is_zipfile(archive):
        with open(archive, "rb") as file:
            page = file.read(200).lstrip()[:1] == b"<"
        return ("no zip file but a web page" if page else "no whole zip file"), AGAIN
    if isinstance(error, (zipfile.BadZipFile, zlib.error, EOFError)):
        return f"damaged: {words}", AGAIN
    if isinstance(error, NotImplementedError):
        return f"packed in a way that is not known here: {words}", BY_HAND.format(archive.with_suffix(""))
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return error.strerror, STRANGE
    if isinstance(error, OSError) and error.errno != errno.EINVAL:  # else a place before the file's beginning
        return error.strerror or words, "make room on the disk, or check the permissions"
    return f"damaged: {words or type(error).__name__}", AGAIN
