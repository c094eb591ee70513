"""A hook of MkDocs: links that leave docs/ lead to the repository, or are text where its address is not set.

The same files are read in the repository, where such links lead to files beside docs/, and as a site, which has none
of them. The address is `repo_url` of mkdocs.yml.
"""

import posixpath
import re
from typing import Any, Final

_LINK: Final = re.compile(r"(?<!!)\[([^\]]*)\]\(((?:\.\./)+[^)\s]+)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Return the text of a page, which is not rendered yet, with its links changed."""
    return rewrite(markdown, page.file.src_uri, config["repo_url"])


def rewrite(markdown: str, page: str, repository: str | None) -> str:
    """Return the text of docs/`page` without links that leave docs/."""

    def changed(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link[2]))
        if target.startswith("docs/"):
            return link[0]
        return f"[{link[1]}]({repository.rstrip('/')}/blob/main/{target})" if repository else link[1]

    return _LINK.sub(changed, markdown)
