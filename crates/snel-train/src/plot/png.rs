//! SVG text to PNG bytes, on machines without fonts too: the pictures' font travels in the binary.

use std::sync::{Arc, LazyLock};

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

use super::PlotError;

/// The font of all pictures, as an OpenType file: Inter (SIL Open Font License 1.1, see
/// `assets/Inter-LICENSE.txt`), Latin, Greek and Cyrillic only.
pub const FONT_OTF: &[u8] = include_bytes!("../../assets/Inter-Regular-subset.otf");

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(FONT_OTF.to_vec());
    fonts.set_sans_serif_family("Inter");
    fonts.set_serif_family("Inter");
    Arc::new(fonts)
});

/// The widest and highest PNG, in pixels.
const LARGEST_PX: f32 = 20_000.0;

/// Renders SVG text as PNG bytes, `scale` pixels per SVG pixel (2 is sharp on most screens).
///
/// # Errors
/// [`PlotError::Png`] if the text is not SVG, or the scale is not positive or asks for more than
/// 20,000 pixels on a side.
pub fn to_png(svg: &str, scale: f32) -> Result<Vec<u8>, PlotError> {
    let fail = |why: String| PlotError::Png { why };
    let options =
        Options { font_family: "Inter".into(), fontdb: Arc::clone(&FONTS), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|e| fail(e.to_string()))?;
    let (w, h) = (tree.size().width() * scale, tree.size().height() * scale);
    if !(scale > 0.0 && w <= LARGEST_PX && h <= LARGEST_PX) {
        return Err(fail(format!("{w} x {h} pixels were asked for, the limit is {LARGEST_PX}")));
    }
    let mut pixels = Pixmap::new(w.ceil() as u32, h.ceil() as u32)
        .ok_or_else(|| fail(format!("no room for {w} x {h} pixels")))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| fail(e.to_string()))
}
