package examples

// managers returns the scripts that stand for the programs of a distribution's package manager, and for systemctl.
func managers(kind string) map[string]string {
	scripts := map[string]string{"systemctl": systemctl, "rc-update": rcUpdate, "install": installDir}
	switch kind {
	case "apt":
		scripts["apt-get"], scripts["apt-cache"], scripts["dpkg"] = install+aptGet, aptCache, `echo "$ARCH"`
	case "dnf":
		scripts["dnf"] = install + dnf
	case "pacman":
		scripts["pacman"] = install + pacman
	case "zypper":
		scripts["zypper"] = install + zypper
	case "apk":
		scripts["apk"] = install + apk
	}
	return scripts
}

// install is a function that installs packages: it copies their files and runs their scripts. It fails for a name that
// is no package.
const install = `
install_packages() {
	for name; do
		case $name in -*) continue ;; esac
		if [ ! -d "/.test/packages/$name" ]; then
			echo "there is no package $name" >&2
			exit 100
		fi
		cp -a "/.test/packages/$name/." /
	done
	for name; do
		case $name in -*) continue ;; esac
		. "/.test/scripts/$name"
	done
}
download() { mkdir -p "$1"; echo downloaded >"$1/$2"; }
`

const aptGet = `
case $1 in
update) download /var/lib/apt/lists registry.example_Packages; download /var/lib/apt/lists lock ;;
install)
	test -e /var/lib/apt/lists/registry.example_Packages
	shift
	download /var/cache/apt/archives x.deb
	install_packages "$@"
	;;
clean) rm -rf /var/cache/apt/archives/*.deb ;;
*) exit 1 ;;
esac
`

// aptCache has what apt-cache depends says of Ubuntu 24.04's kernel.
const aptCache = `
test "$*" = 'depends linux-image-generic'
cat <<'END'
linux-image-generic
  Depends: linux-image-6.8.0-90-generic
  Depends: linux-modules-extra-6.8.0-90-generic
  Depends: linux-firmware
  Depends: intel-microcode
  Depends: amd64-microcode
  Recommends: thermald
END
`

const dnf = `
case $1 in
install)
	shift
	download /var/cache/libdnf5/fedora-1/repodata primary.xml.zst
	install_packages "$@"
	;;
clean) rm -rf /var/cache/libdnf5/*/repodata ;;
*) exit 1 ;;
esac
`

const pacman = `
case $1 in
-S*)
	shift
	download /var/lib/pacman/sync core.db
	download /var/cache/pacman/pkg x.pkg.tar.zst
	install_packages "$@"
	;;
*) exit 1 ;;
esac
`

const zypper = `
case "$*" in
*clean*) rm -rf /var/cache/zypp/* ;;
*install*)
	download /var/cache/zypp/solv/repo solv
	shift 2
	install_packages "$@"
	;;
esac
`

const apk = `
test "$1" = add
shift
case " $* " in *' --no-cache '*) ;; *) download /var/cache/apk APKINDEX.1.tar.gz ;; esac
install_packages "$@"
`

// systemctl does what systemctl(1) does where systemd does not run. It fails for a unit that does not exist.
const systemctl = `
verb=$1
shift
for unit; do
	case $unit in -*) continue ;; *.*) ;; *) unit=$unit.service ;; esac
	file=
	for dir in /etc/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
		if [ -z "$file" ] && [ -f "$dir/$unit" ]; then file=$dir/$unit; fi
	done
	case $verb in
	enable)
		if [ -z "$file" ]; then echo "there is no unit $unit" >&2; exit 1; fi
		for target in $(sed -n 's/^WantedBy=//p' "$file"); do
			mkdir -p "/etc/systemd/system/$target.wants"
			ln -sf "$file" "/etc/systemd/system/$target.wants/$unit"
		done
		;;
	disable) rm -f /etc/systemd/system/*.wants/"$unit" ;;
	mask) mkdir -p /etc/systemd/system; ln -sf /dev/null "/etc/systemd/system/$unit" ;;
	unmask) if [ "$(readlink "/etc/systemd/system/$unit")" = /dev/null ]; then rm "/etc/systemd/system/$unit"; fi ;;
	*) exit 1 ;;
	esac
done
`

// installDir is install -d -m MODE DIRECTORY, which Debian's busybox does not have.
const installDir = `
test "$1 $2" = '-d -m'
mkdir -p "$4"
chmod "$3" "$4"
`

const rcUpdate = `
test "$1" = add
mkdir -p "/etc/runlevels/${3:-default}"
ln -sf "/etc/init.d/$2" "/etc/runlevels/${3:-default}/$2"
`
