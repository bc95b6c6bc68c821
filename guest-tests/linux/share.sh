#!/bin/bash
# Run in a guest whose root is a share, in another share: unpacks, builds, commits and installs.
set -e
failed() {
  echo "failed: line $1"
  exit 1
}
trap 'failed $LINENO' ERR
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=$PWD GIT_CONFIG_GLOBAL=$PWD/gitconfig
git config --global safe.directory '*'
git config --global user.name share
git config --global user.email share@localhost

tar -xf source.tar
cd source
mkdir objects
for file in lib/guest.c guests/halt.c; do
  gcc -ffreestanding -c "$file" -o "objects/$(basename "$file" .c).o"
done
ar rc objects/all.a objects/*.o

git init --quiet
echo objects >.gitignore
git add .
git commit --quiet --message 'all of it'
[ -z "$(git status --short)" ]
echo changed >>guests/halt.c
[ "$(git status --short)" = ' M guests/halt.c' ]
git gc --quiet
git checkout --quiet guests/halt.c
cd ..

mkdir -p target/var/lib/dpkg/info target/var/lib/dpkg/updates
: >target/var/lib/dpkg/status
dpkg --root="$PWD/target" --force-not-root --force-script-chrootless --install sample.deb
dpkg --root="$PWD/target" --status sample | grep -q '^Status: install ok installed'
