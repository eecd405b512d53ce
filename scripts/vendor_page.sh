#!/bin/sh
# Makes thinkwright/serving/page/vendor again: the two libraries of the chat page, as npm has them.
set -eu
MARKDOWN_IT=15.0.3
TEMML=0.13.5
cd "$(dirname "$0")/.."
vendor=$PWD/thinkwright/serving/page/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "markdown-it@$MARKDOWN_IT" "temml@$TEMML" >/dev/null
for name in "markdown-it-$MARKDOWN_IT" "temml-$TEMML"; do
  mkdir "$name"
  tar -xzf "$name.tgz" -C "$name" --strip-components=1
done
rm -rf "$vendor"
mkdir -p "$vendor"
# Without the line that names a map that is not here.
sed '/^\/\/# sourceMappingURL=/d' "markdown-it-$MARKDOWN_IT/dist/browser/markdown-it.esm.min.mjs" >"$vendor/markdown-it.min.mjs"
cp "temml-$TEMML/dist/temml.min.js" "$vendor/temml.min.js"
cp "markdown-it-$MARKDOWN_IT/LICENSE" "$vendor/LICENSE.markdown-it.txt"
cp "temml-$TEMML/LICENSE" "$vendor/LICENSE.temml.txt"
cd "$vendor"
{
  echo "Made by scripts/vendor_page.sh; both MIT."
  echo
  echo "| file | package on npm | sha256 |"
  echo "|---|---|---|"
  echo "| markdown-it.min.mjs | markdown-it $MARKDOWN_IT | $(sha256sum <markdown-it.min.mjs | cut -d' ' -f1) |"
  echo "| temml.min.js | temml $TEMML | $(sha256sum <temml.min.js | cut -d' ' -f1) |"
} >README.md
