"""Puts an exported folder on the Hugging Face Hub."""

from pathlib import Path

import httpx2
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from thinkwright.errors import EndpointError, ModelError

_LOG_IN = "set HF_TOKEN, or log in with: hf auth login"


def check_push(repository: str) -> None:
    """See, before anything is written, that there is such a name and a key. Raises ModelError."""
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ModelError(f"--push {repository}: is no name on the Hub ({error}); write OWNER/NAME") from error
    if repository.count("/") != 1:
        raise ModelError(f"--push {repository}: whose is it? write OWNER/NAME")
    if get_token() is None:
        raise ModelError(f"--push {repository}: no key for the Hugging Face Hub; {_LOG_IN}")


def push_folder(folder: Path, repository: str, *, private: bool) -> str:
    """Make the repository, if there is none, and upload the folder as one commit; gives its address.

    Raises EndpointError if the Hub refuses or does not answer; the folder stays as it is.
    """
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repository, commit_message="Export from Thinkwright")
    except HfHubHTTPError as error:
        status = error.response.status_code
        remedy = _LOG_IN + f" as one who may write to {repository}" if status in (401, 403) else "try again later"
        raise EndpointError(f"{api.endpoint}: refused {repository} ({status}); {remedy}; {_stays(folder)}") from error
    except (httpx2.HTTPError, OfflineModeIsEnabled, OSError, RuntimeError, ValueError) as error:
        raise EndpointError(
            f"{api.endpoint}: {repository} could not be uploaded ({type(error).__name__}: {error}); check the network "
            f"and HF_ENDPOINT; {_stays(folder)}"
        ) from error
    return f"{api.endpoint}/{repository}"


def _stays(folder: Path) -> str:
    return f"the export is in {folder}, whence it can be uploaded with: hf upload OWNER/NAME {folder}"
