"""Fetching published files by name. The only module that talks to the network, and only when asked."""

from pathlib import Path


def fetch_pretrained(name, patterns, revision=None, cache_dir=None, local_files_only=False):
    """Fetch the files of the published checkpoint `name` that match `patterns`; return their folder as a Path.

    name: "google-bert/bert-base-uncased"; patterns: file names, "*" allowed; revision: branch, tag or commit.
    Files land in the cache of huggingface_hub (`cache_dir`, or HF_HOME), cut-off downloads resume, and what is
    in the cache already is not fetched again. `local_files_only=True` never touches the network.

    ImportError: huggingface_hub is missing. OSError: nothing by that name, or no network and not in the cache.
    """
    name = str(name)
    if name.count("/") > 1 or "\\" in name or name.startswith((".", "/", "~")):  # a path, not a published name
        raise FileNotFoundError(f"there is no folder {name!r}")
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            f"{name!r} is no folder here, and fetching it by name needs huggingface_hub: "
            "pip install 'bertnp[hub]', or give the folder that holds the files"
        ) from error
    try:
        folder = huggingface_hub.snapshot_download(
            name, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only, allow_patterns=patterns
        )
    except Exception as error:  # the network libraries underneath raise many kinds; each ends in the same advice
        first_line = (str(error).strip().splitlines() or [""])[0]
        raise OSError(
            f"{name!r} is no folder here, and fetching it by that name failed: check the name and the network, "
            f"or give the folder that holds the files ({type(error).__name__}: {first_line})"
        ) from error
    return Path(folder)
