//! `report.html`: what a run did, as one page that can be mailed.
//!
//! Invariants
//! 1. The page is one file: style, font and pictures are inside, and its content security policy
//!    forbids scripts and every request, so a hostile column name can do nothing even if it were
//!    let through.
//! 2. All text is escaped (by maud); only [`Figure::svg`] is taken as markup.
//! 3. The same report gives the same bytes.
//!
//! Nothing here fails; an empty part is left out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plot::FONT_OTF;

/// The content of a report. All strings are plain text unless said otherwise; in warnings,
/// explanations and captions, what stands between backticks is set as code.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Name of the run.
    pub title: String,
    /// What was trained on what: name and value.
    pub facts: Vec<(String, String)>,
    /// The result; more than one if it is told in several units.
    pub headlines: Vec<Headline>,
    /// What to know before trusting the numbers.
    pub warnings: Vec<String>,
    /// Yardsticks and other numbers.
    pub tables: Vec<Table>,
    /// Pictures, in order.
    pub figures: Vec<Figure>,
    /// The resolved config, as TOML.
    pub config: String,
    /// The command that made the run.
    pub command: String,
}

/// One result, as an interval.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Headline {
    /// What it is, for example `Test log-likelihood, original units`.
    pub name: String,
    /// The interval with its unit, for example `−2.113 to −2.064 nats per point`.
    pub interval: String,
    /// How to read it, one paragraph an entry; [`HOW_TO_READ`] is a good first one.
    pub explanation: Vec<String>,
}

/// Says in plain words what a log-likelihood interval means.
pub const HOW_TO_READ: &str = "The log-likelihood says how probable the model finds data that it \
    has not seen: higher is better. It cannot be computed exactly, because the model's normaliser \
    can only be estimated, so it is given as an interval: the lower end is the self-normalised \
    bound, the upper end the importance-sampling bound, each with its Monte-Carlo error. A narrow \
    interval is a trustworthy number. If the interval overlaps that of another model, these \
    numbers do not tell which of the two is better.";

/// A table; cells are plain text, the first column is a name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Its heading.
    pub title: String,
    /// One sentence on how to read it; may be empty.
    pub caption: String,
    /// Column headings.
    pub columns: Vec<String>,
    /// Rows of cells.
    pub rows: Vec<Vec<String>>,
}

/// A picture with its caption. The picture shows its own title.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figure {
    /// What it is, for those who cannot see it.
    pub title: String,
    /// One sentence on what it shows.
    pub caption: String,
    /// SVG markup from [`crate::plot`]; not escaped.
    pub svg: String,
}

/// What the page may do: show its own style, font and pictures.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'";

/// The report as one HTML page.
pub fn html(report: &Report) -> String {
    let font = format!(
        "@font-face{{font-family:Inter;src:url(data:font/otf;base64,{})}}\n",
        STANDARD.encode(FONT_OTF)
    );
    let style = PreEscaped(font + include_str!("../assets/report.css"));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (report.title) }
                style { (style) }
            }
            body {
                h1 { (report.title) }
                @for result in &report.headlines { (headline(result)) }
                @if !report.warnings.is_empty() {
                    ul.warnings { @for warning in &report.warnings { li { (prose(warning)) } } }
                }
                @if !report.facts.is_empty() {
                    h2 { "What was trained" }
                    dl.facts { @for (name, value) in &report.facts { dt { (name) } dd { (value) } } }
                }
                @for numbers in &report.tables { (table(numbers)) }
                @if !report.figures.is_empty() { h2 { "Pictures" } }
                @for picture in &report.figures { (figure(picture)) }
                (origin(report))
            }
        }
    };
    page.into_string()
}

fn headline(result: &Headline) -> Markup {
    html! {
        section.headline {
            p.name { (result.name) }
            p.value { (result.interval) }
            @for paragraph in &result.explanation { p { (prose(paragraph)) } }
        }
    }
}

fn table(table: &Table) -> Markup {
    html! {
        h2 { (table.title) }
        @if !table.caption.is_empty() { p { (prose(&table.caption)) } }
        div.scroll {
            table {
                thead { tr { @for name in &table.columns { th scope="col" { (name) } } } }
                tbody {
                    @for row in &table.rows { tr { @for cell in row { td { (cell) } } } }
                }
            }
        }
    }
}

fn figure(figure: &Figure) -> Markup {
    html! {
        figure {
            // The keyboard can scroll a picture that is wider than the screen.
            div.picture tabindex="0" aria-label=(figure.title) { (PreEscaped(&figure.svg)) }
            figcaption { (prose(&figure.caption)) }
        }
    }
}

fn origin(report: &Report) -> Markup {
    html! {
        @if !report.command.is_empty() || !report.config.is_empty() {
            h2 { "How to make it again" }
        }
        @if !report.command.is_empty() { pre { code { (report.command) } } }
        @if !report.config.is_empty() {
            details {
                summary { "The resolved config" }
                pre { code { (report.config) } }
            }
        }
    }
}

/// Text in which what stands between backticks is code.
fn prose(text: &str) -> Markup {
    html! {
        @for (i, part) in text.split('`').enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot;

    /// A report with the same text in every place.
    fn report(text: &str) -> Report {
        let t = || text.to_owned();
        let slice =
            plot::Slice1d { name: t(), data: vec![0.0, 1.0, 3.0], ..plot::Slice1d::default() };
        Report {
            title: t(),
            facts: vec![(t(), t())],
            headlines: vec![Headline { name: t(), interval: t(), explanation: vec![t()] }],
            warnings: vec![t()],
            tables: vec![Table {
                title: t(),
                caption: t(),
                columns: vec![t()],
                rows: vec![vec![t()]],
            }],
            figures: vec![Figure {
                title: t(),
                caption: t(),
                svg: plot::slice_1d(&slice).unwrap(),
            }],
            config: t(),
            command: t(),
        }
    }

    #[test]
    fn hostile_text_stays_text_everywhere() {
        let page =
            html(&report("</title></style></pre></svg><script>x</script><img onerror='y'\">"));
        let tags = |page: &str| page.matches('<').count();
        // Markup is what a harmless text of the same places gives, to the last tag.
        assert_eq!(tags(&page), tags(&html(&report("harmless"))));
        for forbidden in ["<script", "<img", "</title></style>"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        // Title twice, facts twice, headline three, warning, table four, label and caption of the
        // figure, its axis, command, config.
        assert_eq!(page.matches("&lt;script&gt;x").count(), 17);
    }

    #[test]
    fn the_page_asks_the_network_for_nothing() {
        let page = html(&report("x"));
        let without_namespace = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(!without_namespace.contains("http://") && !without_namespace.contains("https://"));
        assert!(page.contains("default-src 'none'"));
        for link in page.split("url(").skip(1).chain(page.split("href=\"").skip(1)) {
            assert!(link.starts_with("data:"), "{}", &link[..40.min(link.len())]);
        }
    }

    #[test]
    fn backticks_make_code() {
        let told = prose("raise `proposal.scale` & see").into_string();
        assert_eq!(told, "raise <code>proposal.scale</code> &amp; see");
    }

    #[test]
    fn an_empty_report_has_no_empty_parts() {
        let page = html(&Report { title: "run".into(), ..Report::default() });
        for part in ["<h2", "<section", "<ul", "<table", "<figure", "<details"] {
            assert!(!page.contains(part), "{part}");
        }
    }
}
