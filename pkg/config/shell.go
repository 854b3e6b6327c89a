package config

// NoShell returns s without the shells that it asks for: wyr.debug=shell, and wyr.fail=shell. A shell of the boot
// environment can start any container, so whoever may only name one is not to get it. why continues a sentence:
// "is ignored: ".
func (s Source) NoShell(why string) Source {
	load := s.Load
	s.Load = func() (Config, []string, error) {
		c, ignored, err := load()
		for _, o := range []struct {
			name  string
			value *string
		}{{"debug", &c.Debug}, {"fail", &c.Fail}} {
			if *o.value == "shell" {
				*o.value = ""
				ignored = append(ignored, "wyr."+o.name+"=shell is ignored: "+why)
			}
		}
		return c, ignored, err
	}
	return s
}
