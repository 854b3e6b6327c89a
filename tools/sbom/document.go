package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// These are the parts of SPDX 2.3 that are used here. The order of the fields is that of the specification.
type (
	spdxDocument struct {
		Version       string         `json:"spdxVersion"`
		DataLicense   string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      creation       `json:"creationInfo"`
		Packages      []spdxPackage  `json:"packages"`
		Files         []spdxFile     `json:"files"`
		Licenses      []license      `json:"hasExtractedLicensingInfos,omitempty"`
		Relationships []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		Name             string      `json:"name"`
		ID               string      `json:"SPDXID"`
		Version          string      `json:"versionInfo,omitempty"`
		DownloadLocation string      `json:"downloadLocation"`
		FilesAnalyzed    bool        `json:"filesAnalyzed"`
		Checksums        []checksum  `json:"checksums,omitempty"`
		SourceInfo       string      `json:"sourceInfo,omitempty"`
		LicenseConcluded string      `json:"licenseConcluded"`
		LicenseDeclared  string      `json:"licenseDeclared"`
		Copyright        string      `json:"copyrightText"`
		References       []reference `json:"externalRefs,omitempty"`
	}
	spdxFile struct {
		Name      string     `json:"fileName"`
		ID        string     `json:"SPDXID"`
		Types     []string   `json:"fileTypes"`
		Checksums []checksum `json:"checksums"`
		License   string     `json:"licenseConcluded"`
		Copyright string     `json:"copyrightText"`
	}
	license struct {
		ID   string `json:"licenseId"`
		Text string `json:"extractedText"`
		Name string `json:"name"`
	}
	relationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
	checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	reference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
)

const (
	noAssertion = "NOASSERTION"
	home        = "https://gitlab.com/wyrcan/wyrcan"
	documentID  = "SPDXRef-DOCUMENT"
	sourceID    = "SPDXRef-Package-wyrcan"
)

// A document is one that is being put together.
type document struct {
	spdx spdxDocument
	seen map[string]bool // the identifiers of the packages and licences that it has
}

// newDocument returns a document about Wyrcan itself, whose source all files are built from.
func newDocument(c *cmd) *document {
	location := noAssertion
	if c.commit != "" {
		location = "git+" + home + "@" + c.commit
	}
	return &document{
		seen: make(map[string]bool),
		spdx: spdxDocument{
			Version:     "SPDX-2.3",
			DataLicense: "CC0-1.0",
			ID:          documentID,
			Name:        "wyrcan-" + c.version + "-" + c.arch,
			Creation:    creation{c.created(), []string{"Tool: wyrcan-sbom-" + c.version}},
			Packages: []spdxPackage{{
				Name: "wyrcan", ID: sourceID, Version: c.version, DownloadLocation: location,
				LicenseConcluded: "Apache-2.0", LicenseDeclared: "Apache-2.0", Copyright: noAssertion,
			}},
		},
	}
}

func (d *document) addFile(f spdxFile) {
	d.spdx.Files = append(d.spdx.Files, f)
	d.relate(documentID, "DESCRIBES", f.ID)
	d.relate(f.ID, "GENERATED_FROM", sourceID)
}

// addPart adds what a file contains. Several files may contain the same.
func (d *document) addPart(f spdxFile, p part) {
	if !d.seen[p.pkg.ID] {
		d.seen[p.pkg.ID] = true
		p.pkg.LicenseDeclared = d.addLicenses(p)
		d.spdx.Packages = append(d.spdx.Packages, p.pkg)
	}
	if r := (relationship{f.ID, "CONTAINS", p.pkg.ID}); !slices.Contains(d.spdx.Relationships, r) {
		d.spdx.Relationships = append(d.spdx.Relationships, r)
	}
}

// addLicenses adds the texts of a package's licences, and returns the expression that names them. Equal texts are there
// once. All that a package comes with counts.
func (d *document) addLicenses(p part) string {
	var names []string
	for _, text := range p.texts {
		id := fmt.Sprintf("LicenseRef-%x", sha256.Sum256([]byte(text)))[:len("LicenseRef-")+16]
		if !slices.Contains(names, id) {
			names = append(names, id)
		}
		if !d.seen[id] {
			d.seen[id] = true
			d.spdx.Licenses = append(d.spdx.Licenses, license{id, text, "the licence that comes with " + p.pkg.Name})
		}
	}
	if names == nil {
		return noAssertion
	}
	return strings.Join(names, " AND ")
}

func (d *document) relate(from, how, to string) {
	d.spdx.Relationships = append(d.spdx.Relationships, relationship{from, how, to})
}

// finish returns the document with its name space, which no other document may have: that is the content's own sum.
func (d *document) finish() spdxDocument {
	b, err := json.Marshal(d.spdx)
	if err != nil {
		panic(err) // strings alone
	}
	d.spdx.Namespace = fmt.Sprintf("%s/-/spdx/%s-%x", home, d.spdx.Name, sha256.Sum256(b))
	return d.spdx
}

// others are the characters that an SPDX identifier cannot have.
var others = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func identifier(text string) string { return others.ReplaceAllString(text, "-") }
