package main

import (
	"fmt"
	"strings"
)

// overview is wyrcan.1.
func overview(m manual, f footer) string {
	r := newPage("WYRCAN", 1, f)
	r.name("wyrcan", "check, convert and boot bootable containers")
	r.section("SYNOPSIS")
	r.line(bold("wyrcan") + " " + italic("COMMAND") + " [" + italic("OPTION") + "...] [" + italic("ARGUMENT") + "...]")
	r.section("DESCRIPTION")
	r.paragraphs([]string{
		"Wyrcan boots machines into containers. This is its tool for your own machine.",
		"A bootable container is an image with a kernel at /boot/wyrcan.kernel and an init at /init. Other images boot as " +
			"well: Wyrcan looks for a kernel where the distributions put it, or takes it from a second image.",
		"Results go to standard output, everything else to standard error.",
	})
	r.section("COMMANDS")
	for _, c := range m.Commands {
		r.item(bold(c.Name), escape(capital(c.Summary))+": "+bold("wyrcan-"+c.Name)+"(1).")
	}
	r.item(bold("help")+" ["+italic("COMMAND")+"]", "List the commands, or the options of one.")
	r.item(bold("version"), "Say which wyrcan this is.")
	r.section("IMAGES")
	r.line("An " + italic("IMAGE") + " is a name at a registry, or on this machine a file, a directory, or a name in the")
	r.line("storage of a container engine:")
	r.item("["+bold("docker://")+"]["+italic("REGISTRY")+"/]"+italic("NAME")+"[:"+italic("TAG")+"][@"+italic("DIGEST")+"]",
		"At a registry. docker.io and the tag latest are implied.")
	for _, x := range m.Forms {
		prefix, rest, _ := strings.Cut(x.Form, ":")
		r.item(bold(prefix+":")+italic(rest), escape(capital(x.About))+".")
	}
	r.item(italic("PATH"), "Such a directory or file, if there is one.")
	r.section("EXIT STATUS")
	r.item("0", "Success.")
	r.item("1", "A failure.")
	r.item("2", "A wrong use of this program.")
	r.line(".PP")
	r.line("The pages of the commands name others.")
	r.section("ENVIRONMENT")
	for _, x := range [][2]string{
		{"REGISTRY_AUTH_FILE", "The file with logins, in place of those of docker login and podman login."},
		{"HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "The proxy for registries, and the hosts that are reached without it."},
		{"TMPDIR", "Where copies of images and compressed archives are kept while they are read; /tmp without it."},
		{"CONTAINERS_STORAGE_CONF, DOCKER_HOST", "These have podman, skopeo and docker, which bring images of their " +
			"storage, use another one."},
	} {
		r.item(bold(x[0]), escape(x[1]))
	}
	r.section("FILES")
	for _, x := range [][2]string{
		{"~/.docker/config.json, $XDG_RUNTIME_DIR/containers/auth.json", "Logins."},
		{"~/.config/containers/certs.d, /etc/containers/certs.d, /etc/docker/certs.d", "Certificates for registries."},
		{"../lib/wyrcan", "Seen from the directory of this program: wyrcan.kernel, wyrcan.initrd and the other files that " +
			"run, demo and serve offer to machines, if they are not beside the program."},
		{"/run/wyrcan/boot.json", "What this machine was booted with, if Wyrcan has booted it."},
	} {
		r.item(italic(x[0]), escape(x[1]))
	}
	r.section("SEE ALSO")
	var pages []string
	for _, c := range m.Commands {
		pages = append(pages, bold("wyrcan-"+c.Name)+"(1)")
	}
	r.line(strings.Join(append(pages, bold("wyrcan.cmdline")+"(7)", bold("podman")+"(1)", bold("skopeo")+"(1)"), ",\n"))
	return r.String()
}

// commandPage is wyrcan-COMMAND.1.
func commandPage(c command, f footer) string {
	r := newPage("WYRCAN-"+strings.ToUpper(c.Name), 1, f)
	r.name("wyrcan-"+c.Name, c.Summary)
	r.section("SYNOPSIS")
	r.line(bold("wyrcan "+c.Name) + " " + synopsis(c.Synopsis))
	var about, status []string
	for _, p := range strings.Split(strings.TrimRight(c.About, "\n"), "\n\n") {
		if strings.HasPrefix(p, "The exit status is") {
			status = append(status, p)
		} else {
			about = append(about, p)
		}
	}
	r.section("DESCRIPTION")
	r.paragraphs(about)
	if len(c.Options) > 0 {
		r.section("OPTIONS")
	}
	for _, o := range c.Options {
		term := bold("-" + o.Name)
		if o.Argument != "" {
			term += " " + italic(o.Argument)
		}
		text := capital(o.About)
		if o.Default != "" && !strings.Contains(text, "(default") {
			text += fmt.Sprintf(" (default %s)", o.Default)
		}
		r.item(term, escape(text)+".")
	}
	r.section("EXIT STATUS")
	if status == nil {
		status = []string{"The exit status is 0 for success, 1 for a failure and 2 for a wrong use of this program."}
	}
	r.paragraphs(status)
	r.section("SEE ALSO")
	r.line(bold("wyrcan") + "(1), " + bold("wyrcan.cmdline") + "(7)")
	return r.String()
}

// synopsis returns the arguments of a command: what is to be replaced is in italics.
func synopsis(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		bare := strings.Trim(w, "[].")
		before, after, _ := strings.Cut(w, bare)
		if bare == strings.ToUpper(bare) {
			words[i] = escape(before) + italic(bare) + escape(after)
		} else {
			words[i] = escape(before) + bold(bare) + escape(after)
		}
	}
	return strings.Join(words, " ")
}

// capital returns text with a large first letter, unless it begins with a name.
func capital(text string) string {
	first, _, _ := strings.Cut(text, " ")
	if first != strings.ToLower(first) || strings.ContainsAny(first, "./*=") {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// cmdline is wyrcan.cmdline.7.
func cmdline(t table, f footer) string {
	r := newPage("WYRCAN.CMDLINE", 7, f)
	r.name("wyrcan.cmdline", "the arguments that Wyrcan takes from the command line of its kernel")
	r.section("DESCRIPTION")
	r.prose(t.before)
	r.section("ARGUMENTS")
	for _, row := range t.rows {
		r.item(inline(row[0]), inline(row[1]))
	}
	r.section("NOTES")
	r.prose(t.after)
	r.section("SEE ALSO")
	r.line(bold("wyrcan") + "(1), " + bold("systemd.network") + "(5)")
	return r.String()
}
