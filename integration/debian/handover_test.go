package debian

// handedOver are options of QEMU that give a machine system credentials: https://systemd.io/CREDENTIALS/.
var handedOver = []string{
	"-smbios", "type=11,value=io.systemd.credential:test.smbios=from the firmware",
	"-fw_cfg", "name=opt/io.systemd.credentials/test.fwcfg,string=from the hypervisor",
}

// arrived are the lines of the report of a system whose systemd has them: it reads SMBIOS and fw_cfg for itself, so the
// kernel has to find both behind the kexec.
var arrived = map[string]bool{
	`^report: credential: test\.smbios: from the firmware$`:  true,
	`^report: credential: test\.fwcfg: from the hypervisor$`: true,
}
