package image

import (
	"context"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// opened returns the names of an image as a layout, as an archive, and at a registry.
func opened(t *testing.T, reg *imagetest.Registry, repo string, d imagetest.Disk) []string {
	return []string{d.Dir(t), d.Tar(t), "docker://" + reg.PushDisk(t, repo, d)}
}

// withConfig returns a layout with an image of layers. Its configuration has those fields and this machine's platform.
func withConfig(t *testing.T, layers []imagetest.Layer, fields string) imagetest.Disk {
	t.Helper()
	d := imagetest.Saved(t, layers...)
	config := d.Add([]byte(`{"os":"linux","architecture":"` + runtime.GOARCH + `",` + fields + `}`))
	config["mediaType"] = "application/vnd.oci.image.config.v1+json"
	m := d.Manifest(t)
	m["config"] = config
	d.SetManifest(m)
	delete(d, "manifest.json")
	return d
}

func mustMarshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Open accepts malformed fields in a configuration that Wyrcan does not need.
func TestLenientConfig(t *testing.T) {
	t.Parallel()
	layers, archives := twoLayers(t)
	reg := imagetest.Serve(t)
	var ids []string
	for _, l := range layers {
		_, id := l.Blob(t).Digests()
		ids = append(ids, id)
	}
	rootfs, err := json.Marshal(map[string]any{"type": "layers", "diff_ids": ids})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{
		`"config":{"Entrypoint":"/bin/sh","Labels":{"a":"b"}}`,
		`"config":{"Labels":[],"Cmd":"x","Env":{"A":"B"}}`,
		`"config":{"Labels":{"a":1}}`,
		`"config":{"Healthcheck":{"Interval":"30s","Timeout":"30s","Test":"curl"}}`,
		`"config":{"ExposedPorts":["80/tcp"],"Volumes":["/data"],"User":0,"Tty":"yes","OnBuild":""}`,
		`"config":[]`, `"config":null`, `"config":"x"`, `"config":{"MemorySwap":1e400}`,
		`"created":""`, `"created":0`, `"created":"yesterday"`, `"created":null`,
		`"history":{}`, `"history":[{"created":""}]`, `"history":"none"`, `"history":[1]`,
		`"author":[]`, `"container_config":7`, `"docker_version":20`, `"os.version":10`, `"os.features":"x"`, `"variant":0`,
	} {
		d := withConfig(t, layers, field+`,"rootfs":`+string(rootfs))
		for _, name := range opened(t, reg, "config:1", d) {
			if err := holds(t, here(t), name, archives); err != nil {
				t.Errorf("%s: %v", field, err)
			}
		}
	}
	// Fields that Wyrcan needs must have the right form.
	for field, want := range map[string]string{
		`"rootfs":{"type":"layers","diff_ids":["sha256:0","` +
			ids[1] + `"]}`: `the digest "sha256:0" of layer 1 is none that can be verified`,
		`"rootfs":{"type":"layers","diff_ids":["` + ids[0] + `","blake3:00"]}`: `the digest "blake3:00" of layer 2`,
		`"rootfs":{"type":"layers","diff_ids":["` + ids[0] + `",7]}`:           `the digest "" of layer 2`,
		`"rootfs":{"type":"layers","diff_ids":{}}`:                             "digests for 0",
		`"rootfs":[]`:   "digests for 0",
		`"rootfs":null`: "digests for 0",
	} {
		d := withConfig(t, layers, field)
		for _, name := range opened(t, reg, "config:1", d) {
			if err := holds(t, here(t), name, archives); err == nil || !strings.Contains(err.Error(), want) || Heals(err) {
				t.Errorf("%s: Open(%q) = %v, want a permanent error with %q", field, name, err, want)
			}
		}
	}
}

// parseConfig returns the fields that it can read, whatever other fields are malformed.
func TestLenientConfigKeeps(t *testing.T) {
	config, err := parseConfig([]byte(`{"created":"2024-01-02T03:04:05Z","author":"a","config":{"Entrypoint":"/bin/sh",` +
		`"Labels":{"a":"b"},"Env":["A=B"],"Healthcheck":{"Interval":"30s"}}}`))
	if err != nil || config.Config.Labels["a"] != "b" || len(config.Config.Env) != 1 ||
		config.Created.Year() != 2024 || config.Author != "a" {
		t.Errorf("parseConfig = %+v, %v", config, err)
	}
	for _, bad := range []string{``, `[]`, `"x"`, `7`, `{"os":"linux"`, `{} {}`} {
		if config, err := parseConfig([]byte(bad)); err == nil {
			t.Errorf("parseConfig(%q) = %+v, want an error", bad, config)
		}
	}
}

// A malformed entry of an index that is not for this machine does no harm. An entry that is not an image does not end
// the search.
func TestLenientIndex(t *testing.T) {
	t.Parallel()
	layers, archives := twoLayers(t)
	d := imagetest.Saved(t, layers...)
	manifest := d.AddJSON(d.Manifest(t))
	good, _ := json.Marshal(manifest)
	here1 := `"platform":{"os":"linux","architecture":"` + runtime.GOARCH + `"`
	image := strings.TrimSuffix(string(good), "}") + `,` + here1 + `}}`
	bare := string(good)

	// Entries that are not images, as indexes list them beside images.
	entry := func(doc any, more string) string {
		b, err := json.Marshal(d.AddJSON(doc))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(string(b), "}") + more + "}"
	}
	empty := d.AddJSON(map[string]any{})
	empty["mediaType"] = "application/vnd.oci.empty.v1+json"
	payload := d.Add([]byte("{\"critical\":{}}"))
	payload["mediaType"] = "application/vnd.dev.cosign.simplesigning.v1+json"
	artifact := map[string]any{"schemaVersion": 2, "config": empty, "layers": []any{payload},
		"artifactType": "application/vnd.example"}
	signed := d.AddJSON(map[string]any{"architecture": "", "os": "",
		"rootfs": map[string]any{"type": "layers", "diff_ids": []any{payload["digest"]}}})
	signed["mediaType"] = "application/vnd.oci.image.config.v1+json"
	signature := map[string]any{"schemaVersion": 2, "config": signed, "layers": []any{payload}}
	chartConfig := d.AddJSON(map[string]any{"name": "chart"})
	chartConfig["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
	chart := map[string]any{"schemaVersion": 2, "config": chartConfig, "layers": []any{payload}}
	listed := map[string]any{"schemaVersion": 2, "config": empty, "layers": nil}
	// An image with another content, which must not be chosen.
	otherDisk := imagetest.Saved(t, imagetest.Files(imagetest.File("wrong", "x")))
	for name, content := range otherDisk {
		if strings.HasPrefix(name, "blobs/") {
			d[name] = content
		}
	}
	other := otherDisk.Manifest(t)
	zero := "sha256:" + strings.Repeat("0", 64)

	for _, row := range []struct {
		name, before, last string
	}{
		{"a digest of an unknown kind", `{"digest":"blake3:00","size":1,"platform":{"os":"linux",` +
			`"architecture":"s390x"}}`, image},
		{"a digest that is a number", `{"digest":7,"size":1,"platform":{"os":"linux","architecture":"s390x"}}`, image},
		{"no digest", `{"platform":{"os":"linux","architecture":"s390x"}}`, image},
		{"a size that is a text", `{"digest":"` + zero + `","size":"big","platform":{"os":"linux",` +
			`"architecture":"s390x"}}`, image},
		{"a size beyond numbers", `{"digest":"` + zero + `","size":1e99,"platform":{"os":"linux",` +
			`"architecture":"s390x"}}`, image},
		{"fields of other types", `{"digest":"` + zero + `","size":1,"urls":"x","annotations":[],"data":7,"mediaType":{},` +
			`"platform":{"os":"windows","architecture":"amd64","os.features":"win32k","os.version":10}}`, image},
		{"a platform that is a text", `{"digest":"` +
			zero + `","size":1,"mediaType":"application/x","platform":"linux/amd64"}`, image},
		{"an entry that is no object", `7`, image},
		{"an entry that is null", `null`, image},
		{"an entry for this machine with an unknown digest", `{"digest":"blake3:00","size":1,` + here1 + `}}`, image},
		{"an artifact without a platform", entry(artifact, ``), bare},
		{"an artifact without a platform, by its type", entry(artifact, `,"artifactType":"application/vnd.example"`), bare},
		{"a signature without a platform", entry(signature, ``), bare},
		{"a chart without a platform", entry(chart, ``), bare},
		{"a list of nothing without a platform", entry(listed, ``), bare},
		{"a list without a platform", entry([]int{1}, ``), bare},
		{"something without a platform that is not there", `{"digest":"` + zero + `","size":1}`, bare},
		{"an attestation", entry(artifact, `,"platform":{"os":"unknown","architecture":"unknown"}`), bare},
		{"an attestation without a platform", entry(other,
			`,"annotations":{"vnd.docker.reference.type":"attestation-manifest"}`), bare},
		{"an artifact for this machine", entry(artifact, `,`+here1+`}`), image},
		{"an artifact for this machine, by its type",
			entry(other, `,"artifactType":"application/vnd.example",`+here1+`}`), image},
		{"a chart for this machine", entry(chart, `,`+here1+`}`), image},
		{"one that needs features", entry(other, `,`+here1+`,"os.features":["gpu"]}`), image},
		{"one that needs features, before one without a platform", entry(other, `,`+here1+`,"os.features":["gpu"]}`), bare},
		{"one that needs features and is of a better variant",
			entry(other, `,`+here1+`,"variant":"v2","os.features":["gpu"]}`), image},
		{"an index of artifacts", entry(map[string]any{"schemaVersion": 2, "manifests": []any{d.AddJSON(artifact)}}, ``),
			bare},
	} {
		for _, order := range []string{row.before + `,` + row.last, row.last + `,` + row.before} {
			text := `{"schemaVersion":2,"manifests":[` + order + `]}`
			disk := imagetest.Disk{"oci-layout": d["oci-layout"], "index.json": []byte(text)}
			for name, content := range d {
				if strings.HasPrefix(name, "blobs/") {
					disk[name] = content
				}
			}
			if err := holds(t, here(t), disk.Dir(t), archives); err != nil {
				t.Errorf("%s: %v", row.name, err)
			}
			// The same in an index that another index lists, as at a registry.
			nested := disk.Add([]byte(text))
			disk.SetJSON("index.json", map[string]any{"schemaVersion": 2, "manifests": []any{nested}})
			if err := holds(t, here(t), disk.Tar(t), archives); err != nil {
				t.Errorf("%s, in an index of an index: %v", row.name, err)
			}
		}
	}

	// If the index has no other entry, it is used if possible, and otherwise the error says what is wrong with it.
	for _, row := range []struct{ name, only, want string }{
		{"features", entry(other, `,`+here1+`,"os.features":["gpu"]}`), ""},
		{"an artifact's type", entry(other, `,"artifactType":"application/vnd.example",`+here1+`}`), ""},
		{"an unknown digest", `{"digest":"blake3:00","size":1,` + here1 + `}}`,
			`its digest "blake3:00" is none that can be verified`},
		{"an unknown digest of another machine", `{"digest":"blake3:00","size":1,"platform":{"os":"linux",` +
			`"architecture":"s390x"}}`, "blake3:00"},
		{"an artifact", entry(artifact, ``), "not a container image"},
		{"a chart", entry(chart, `,`+here1+`}`), "not a container image"},
		{"no digest", `{` + here1 + `}}`, "it has no digest"},
	} {
		disk := imagetest.Disk{"oci-layout": d["oci-layout"],
			"index.json": []byte(`{"schemaVersion":2,"manifests":[` + row.only + `]}`)}
		for name, content := range d {
			if strings.HasPrefix(name, "blobs/") {
				disk[name] = content
			}
		}
		_, err := here(t).Open(context.Background(), disk.Dir(t))
		if (err == nil) != (row.want == "") || err != nil && (!strings.Contains(err.Error(), row.want) || Heals(err)) {
			t.Errorf("%s, alone: Open = %v, want %q", row.name, err, row.want)
		}
	}
}

// A layout may hold artifacts beside its one image.
func TestLayoutBesideArtifacts(t *testing.T) {
	layers, archives := twoLayers(t)
	d := imagetest.Saved(t, layers...)
	index := string(d["index.json"])
	artifact, err := json.Marshal(d.AddJSON(map[string]any{"schemaVersion": 2, "config": map[string]any{},
		"layers": []any{}}))
	if err != nil {
		t.Fatal(err)
	}
	beside := strings.TrimSuffix(string(artifact), "}") + `,"artifactType":"application/vnd.example"}`
	d["index.json"] = []byte(strings.Replace(index, `[`, `[`+beside+`,`, 1))
	delete(d, "manifest.json")
	if err := holds(t, here(t), d.Dir(t), archives); err != nil {
		t.Error(err)
	}
}

// parseManifest refuses documents that are two things at once.
func TestAmbiguous(t *testing.T) {
	const hash = `"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`
	for doc, want := range map[string]string{
		`{"config":{"digest":` + hash + `},"manifests":[]}`:                                        "both",
		`{"layers":[],"manifests":[{"digest":` + hash + `}]}`:                                      "both",
		`{"layers":"x","manifests":{}}`:                                                            "both",
		`{"config":7,"manifests":[]}`:                                                              "both",
		`{"schemaVersion":1,"config":{"digest":` + hash + `}}`:                                     "schema 1",
		`{"fsLayers":null,"config":{"digest":` + hash + `}}`:                                       "schema 1",
		`{"mediaType":"application/vnd.oci.image.index.v1+json","config":{"digest":` + hash + `}}`: "calls itself",
		`{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","manifests":[]}`:      "calls itself",
		`{"layers":[]}`: "names no configuration",
	} {
		if got, err := parseManifest([]byte(doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseManifest(%s) = %+v, %v, want an error with %q", doc, got, err, want)
		}
	}
}
